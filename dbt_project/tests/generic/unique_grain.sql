{#- Rows that share the grain's columns. A grouped count, not an index: indexes at block grain
    would have to fit in memory. -#}
{% test unique_grain(model, columns) %}

select {{ columns | join(', ') }}, count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
