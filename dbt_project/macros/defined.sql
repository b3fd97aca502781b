{#- What an aggregate gives where it has no meaning. DuckDB answers NaN, which is greater than any
    number and passes every `is not null`; a table says NULL. -#}

{#- A number, or NULL where it is none. Argument: SQL of a double. Result: DOUBLE, never NaN and
    never infinite. -#}
{% macro defined(value) -%}
    case when isfinite({{ value }}) then {{ value }} end
{%- endmacro %}

{#- Pearson's r over the rows that have both. Arguments: SQL of two doubles. Result: an aggregate,
    -1..1, nine decimals, which no order of addition changes. NULL with fewer than three such rows,
    of which any two lie on a line, and where one of the two is the same in all of them: told by
    least and greatest, since the spread of equal doubles need not come out as 0. No `filter`: it
    copies the rows for each aggregate, and over 276 pairs that took 3 GiB. -#}
{% macro correlation(first, second) -%}
    case
        when count({{ first }} + {{ second }}) > 2
            {%- for own, other in [(first, second), (second, first)] %}
            and min(case when {{ other }} is not null then {{ own }} end)
            < max(case when {{ other }} is not null then {{ own }} end)
            {%- endfor %}
            then {{ defined('round(corr(' ~ first ~ ', ' ~ second ~ '), 9)') }}
    end
{%- endmacro %}
