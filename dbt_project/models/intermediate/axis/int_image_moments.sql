{{ config(materialized=growing_table()) }}

{#- Exact sums of the notta features and of their products: DECIMAL in, DECIMAL out. -#}
{%- set names = features() -%}
with blocks as (

    select * from {{ ref('int_blocks_featured') }}

),

complete as (

    select *
    from blocks
    where phi_luminance_notta is not null

),

final as (

    select
        model_id,
        image_id,
        count(*) as block_count
        {%- for name in names %},
        sum(phi_{{ name }}_notta) as sum_{{ name }}
        {%- endfor %}
        {%- for first in names %}
        {%- for second in names[loop.index0:] %},
        sum(phi_{{ first }}_notta * phi_{{ second }}_notta) as sum_{{ first }}_{{ second }}
        {%- endfor %}
        {%- endfor %}
    from complete
    group by model_id, image_id

)

select * from final
