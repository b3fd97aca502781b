{#- Tests and intervals of a mean whose values lean to one side, as patients' do: Student's t
    rejects a true null too often on the side of the tail. Johnson (1978,
    doi:10.1080/01621459.1978.10480051) adds to t what the third moment tells of its bias, k / 6 and
    k t^2 / 3; Hall (1992, doi:10.1111/j.2517-6161.1992.tb01872.x) a cubic term that keeps the whole
    monotone, without which a large mean against the tail counts for a small one. With it the
    interval is the inverse of the test, and the two never disagree. k is the skewness over
    sqrt(n). -#}

{#- k of a sample. Arguments: names of columns that hold a list of values, its mean and the standard
    error of the mean, > 0. Result: DOUBLE; NULL with fewer than three values. -#}
{% macro skew_of_mean(values, mean, error) -%}
    list_sum(list_transform(
        {{ values }},
        lambda value: pow((value - {{ mean }}) / {{ error }}, 3)
    )) / (cast(len({{ values }}) as double) * (len({{ values }}) - 1))
    / nullif(len({{ values }}) - 2, 0)
{%- endmacro %}

{#- t, corrected. Arguments: SQL of t and of k. Result: what Student's distribution judges; NULL
    with NULL arguments. -#}
{% macro corrected_t(t, k) -%}
    {{ t }} + {{ k }} / 6 + {{ k }} * pow({{ t }}, 2) / 3 + pow({{ k }}, 2) * pow({{ t }}, 3) / 27
{%- endmacro %}

{#- The t whose corrected value is given. Arguments: SQL of that value and of k. Result: the inverse
    of corrected_t; by its series where k is too small to divide by. -#}
{% macro uncorrected_t(corrected, k) -%}
    case
        when abs({{ k }}) < 1e-4
            then {{ corrected }} - {{ k }} / 6
                - {{ k }} * pow({{ corrected }} - {{ k }} / 6, 2) / 3
                + 5 * pow({{ k }}, 2) * pow({{ corrected }} - {{ k }} / 6, 3) / 27
        else 3 * (cbrt(1 + {{ k }} * ({{ corrected }} - {{ k }} / 6)) - 1) / {{ k }}
    end
{%- endmacro %}

{#- An end of the interval of a mean. Arguments: SQL of the mean, of its standard error, of Student's
    limit and of k; `low` or `high`. Result: in the mean's unit; NULL where one of them is. -#}
{% macro skewed_end(mean, error, limit, k, end) -%}
    {{ mean }} - {{ error }}
        * {{ uncorrected_t(limit if end == 'low' else '(-' ~ limit ~ ')', k) }}
{%- endmacro %}
