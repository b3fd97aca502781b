{#- Columns with values outside their closed range, and how many; NULL passes. Each of `ranges` has
    `columns` and a bound or both. A bound of a column has a scan of its own, which DuckDB leaves
    out where what it keeps of the column, its least and largest value, says that none is beyond. -#}
{% test in_range(model, ranges) %}

with counted as (

    {%- for range in ranges %}
    {%- set is_last = loop.last %}
    {%- set outside = [] -%}
    {%- if range.at_least is defined %}{% do outside.append('< ' ~ range.at_least) %}{% endif -%}
    {%- if range.at_most is defined %}{% do outside.append('> ' ~ range.at_most) %}{% endif -%}
    {%- for column in range.columns %}
    {%- set is_last_column = loop.last %}
    {%- for condition in outside %}
    select
        '{{ column }}' as column_name,
        count(*) as outside_count
    from {{ model }}
    where {{ column }} {{ condition }}
    {%- if not (is_last and is_last_column and loop.last) %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}
    {%- endfor %}

)

select
    column_name,
    sum(outside_count) as outside_count
from counted
group by column_name
having sum(outside_count) > 0

{% endtest %}
