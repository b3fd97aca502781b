{{ config(materialized=limited(), meta={'by_part': true}) }}

{#- Blocks farther along the axis than tau, by region and by tenth of content. Apart from
    int_image_areas, because tau is a quantile of the study. -#}
with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    {{ limited_blocks() }}

),

limits as (

    select * from {{ ref('mart_limits') }}

),

region_rows as (

    select * from {{ ref('dim_region_rows') }}

),

deciles as (

    select * from {{ ref('int_image_deciles') }}

),

placed as (

    {{ placed_in_areas(['pc1_notta', 'pc1_tta']) }}

),

final as (

    select
        placed.model_id,
        placed.image_id,
        placed.region_code,
        placed.decile
        {%- for path in inference_paths() %},
        count(abs(placed.pc1_{{ path }}) > limits.tau) as scored_{{ path }},
        count_if(abs(placed.pc1_{{ path }}) > limits.tau) as extreme_{{ path }}
        {%- endfor %}
    from placed
    inner join limits on placed.model_id = limits.model_id
    group by placed.model_id, placed.image_id, placed.region_code, placed.decile

)

select * from final
