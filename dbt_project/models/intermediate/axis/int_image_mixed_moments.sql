{{ config(materialized=growing_table()) }}

{#- Exact sums of the unsigned features with the signed ones, and of their products: DECIMAL in,
    DECIMAL out. -#}
{%- set names = feature_spaces()['phi6'] -%}
with blocks as (

    select * from {{ ref('int_blocks_mixed') }}

),

final as (

    select
        model_id,
        image_id,
        count(*) as block_count
        {%- for name in names %},
        sum(phi_{{ name }}) as sum_{{ name }}
        {%- endfor %}
        {%- for first in names %}
        {%- for second in names[loop.index0:] %},
        sum(phi_{{ first }} * phi_{{ second }}) as sum_{{ first }}_{{ second }}
        {%- endfor %}
        {%- endfor %}
    from blocks
    where is_added
    group by model_id, image_id

)

select * from final
