{#- Pearson correlation of per-image metrics over the rows of a source; doubles are summed, so only
    the nine digits that no order of addition changes are kept. -#}
{%- set names = published_metrics() -%}
with images as (

    select * from {{ ref('fct_image_quality') }}

),

final as (

    {%- for first in names %}
    {%- set outer_last = loop.last %}
    {%- for second in names[loop.index:] %}
    select
        source_id,
        '{{ first }}' as first_metric,
        '{{ second }}' as second_metric,
        cast(count({{ first }} + {{ second }}) as bigint) as image_count,
        case
            when stddev_pop({{ first }}) > 0 and stddev_pop({{ second }}) > 0
                then round(corr({{ first }}, {{ second }}), 9)
        end as correlation
    from images
    group by source_id
    {%- if not (loop.last and loop.revindex0 == 0 and first == names[-2]) %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}

)

select * from final
