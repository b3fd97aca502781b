{{ config(materialized='growing_table') }}

{#- Only blocks where both inference paths have a value: a pair, never two populations. A change is
    NULL without its pair. `count_if`, because a `filter` copies the rows for each aggregate: here
    four times the cost of all the sums; it is NULL where nothing was compared. -#}
{%- set notta, tta = tta_quantities('notta'), tta_quantities('tta') -%}
with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    {{ added_blocks() }}

),

changes as (

    select
        model_id,
        image_id
        {%- for name in notta %},
        {{ notta[name] }} as notta_{{ name }},
        {{ tta[name] }} - {{ notta[name] }} as change_{{ name }}
        {%- endfor %}
    from blocks

),

final as (

    select
        model_id,
        image_id
        {%- for name in notta %},
        count(change_{{ name }}) as count_{{ name }},
        sum(case when change_{{ name }} is not null then notta_{{ name }} end) as notta_{{ name }},
        sum(case when change_{{ name }} is not null then notta_{{ name }} end)
        + sum(change_{{ name }}) as tta_{{ name }},
        coalesce(count_if(change_{{ name }} > 0), 0) as raised_{{ name }},
        coalesce(count_if(change_{{ name }} < 0), 0) as lowered_{{ name }}
        {%- endfor %}
    from changes
    group by model_id, image_id

)

select * from final
