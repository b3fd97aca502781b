{#- Columns with values outside their closed range, and how many; NULL passes. One scan of a table,
    however many of its columns have one. Each of `ranges` has `columns` and a bound or both. -#}
{% test in_range(model, ranges) %}

with counted as (

    select
        {%- for range in ranges %}
        {%- set last_range = loop.last %}
        {%- for column in range.columns %}
        count(*) filter (
            where false
            {%- if range.at_least is defined %} or {{ column }} < {{ range.at_least }}{% endif %}
            {%- if range.at_most is defined %} or {{ column }} > {{ range.at_most }}{% endif %}
        ) as {{ column }}{{ '' if last_range and loop.last else ',' }}
        {%- endfor %}
        {%- endfor %}
    from {{ model }}

)

select *
from (unpivot counted on columns(*) into name column_name value outside_count)
where outside_count > 0

{% endtest %}
