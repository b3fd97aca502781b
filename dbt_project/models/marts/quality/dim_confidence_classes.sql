{#- The classes of a verdict, and what the pattern document advises for each. Where a class begins
    is a constant; it ends where the next begins. The document names three classes: what no rule
    fired on has neither name nor advice there, and Normal is the program's word. -#}
{%- set classes = [
    ('High', constant('verdict_high'), none, 'exclude'),
    ('Medium', constant('verdict_medium'), constant('verdict_high') - 1, 'verify'),
    ('Low', constant('verdict_low'), constant('verdict_medium') - 1, 'tolerate'),
    ('Normal', 0, constant('verdict_low') - 1, none),
] -%}
with final as (

    select
        confidence,
        cast(class_number as bigint) as class_number,
        cast(least_count as bigint) as least_count,
        cast(greatest_count as bigint) as greatest_count,
        cast(advice as varchar) as advice
    from (values
        {%- for name, least, greatest, advice in classes %}
        (
            '{{ name }}', {{ loop.index }}, {{ least }},
            {{ 'null' if greatest is none else greatest }},
            {{ 'null' if advice is none else "'" ~ advice ~ "'" }}
        )
        {{- ',' if not loop.last }}
        {%- endfor %}
    ) as stated (confidence, class_number, least_count, greatest_count, advice)

)

select * from final
