{#- Only blocks where both inference paths have a value: a pair, never two populations. -#}
{%- set notta, tta = tta_quantities('notta'), tta_quantities('tta') -%}
with blocks as (

    select * from {{ ref('fct_blocks') }}

),

final as (

    select
        model_id,
        image_id
        {%- for name in notta %},
        count({{ notta[name] }} + {{ tta[name] }}) as count_{{ name }},
        sum(case when {{ tta[name] }} is not null then {{ notta[name] }} end) as notta_{{ name }},
        sum(case when {{ notta[name] }} is not null then {{ tta[name] }} end) as tta_{{ name }},
        count(*) filter (where {{ tta[name] }} > {{ notta[name] }}) as raised_{{ name }},
        count(*) filter (where {{ tta[name] }} < {{ notta[name] }}) as lowered_{{ name }}
        {%- endfor %}
    from blocks
    group by model_id, image_id

)

select * from final
