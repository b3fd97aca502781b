{#- The cluster bootstrap (definitions D.3, D.4): sums by cluster are a CTE `clustered`, `resampled`
    makes a replicate's ratios of them, `percentile_ends` takes the two percentiles of what follows
    from those, and interval_end stretches each about the estimate. Shares of units have no
    bootstrap (macros/shares.sql), nor have means of models (macros/skewed_means.sql). -#}

{#- Ratios under each replicate, from CTEs `clustered` (a row for each group and cluster) and `draws`
    (int_cluster_draws). Arguments: columns that name a group; by name of a ratio, the columns of
    `clustered` whose sums are its part and its whole. Result: a query, one row per group × replicate;
    a ratio is NULL where its whole is 0 or NULL. Sums of whole numbers and decimals are exact, so
    that no order of addition changes a replicate. -#}
{% macro resampled(keys, ratios) -%}
    select
        {%- for key in keys %}
        clustered.{{ key }},
        {%- endfor %}
        draws.replicate
        {%- for name, (part, whole) in ratios.items() %},
        cast(sum(draws.weight * clustered.{{ part }}) as double)
        / nullif(cast(sum(draws.weight * clustered.{{ whole }}) as double), 0) as {{ name }}
        {%- endfor %}
    from clustered
    inner join draws on clustered.cluster_id = draws.cluster_id
    group by clustered.{{ keys | join(', clustered.') }}, draws.replicate
{%- endmacro %}

{#- Percentiles of replicates. Arguments: SQL of a replicate's value; what the two columns' names
    begin with; a condition on the replicates that count, or none. Result: two select items, in
    their unit; NULL where no replicate has a value, and where both are one: what is the same in every
    draw shows no spread, and a point is no interval. -#}
{% macro percentile_ends(value, name, condition=none) -%}
    {%- set percentiles = {} -%}
    {%- for end, share in interval_ends().items() -%}
    {%- do percentiles.update({end: 'quantile_cont(' ~ value ~ ', ' ~ share ~ ')'
        ~ (' filter (where ' ~ condition ~ ')' if condition is not none else '')}) -%}
    {%- endfor -%}
    {%- for end, percentile in percentiles.items() -%}
    case
            when {{ percentiles['low'] }} < {{ percentiles['high'] }} then {{ percentile }}
        end as {{ name }}_{{ end }}{{ ',\n        ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
