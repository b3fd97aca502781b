{{ config(materialized='growing_table') }}

{#- Exact sums over an image's blocks by region and by tenth of content, on one pass. A row of
    blocks holds its regions in one string, so what is joined has a row per image and row. -#}
{%- set columns = ['block_row', 'block_col'] -%}
{%- for path in inference_paths() -%}
{%- for name in summed_in_areas() + ['lr_judged_px', 'lr_contradicted_px'] -%}
{%- do columns.append(name ~ '_' ~ path) -%}
{%- endfor -%}
{%- endfor -%}
with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    {{ added_blocks() }}

),

region_rows as (

    select * from {{ ref('dim_region_rows') }}

),

deciles as (

    select * from {{ ref('int_image_deciles') }}

),

placed as (

    {{ placed_in_areas(columns) }}

),

final as (

    select
        model_id,
        image_id,
        region_code,
        decile
        {%- for path in inference_paths() %}
        {%- for name in summed_in_areas() %},
        count({{ name }}_{{ path }}) as count_{{ name }}_{{ path }},
        cast(sum({{ name }}_{{ path }}) as decimal(18, 6)) as sum_{{ name }}_{{ path }}
        {%- endfor %},
        count_if(mse_dn2_{{ path }} > cast({{ var('error_limit_dn2') }} as {{ fixed_dn2() }}))
            as erroneous_{{ path }},
        count_if(lr_judged_px_{{ path }} > 0) as judged_{{ path }},
        count_if(lr_contradicted_px_{{ path }} > 0) as contradicted_{{ path }}
        {%- endfor %}
    from placed
    group by model_id, image_id, region_code, decile

)

select * from final
