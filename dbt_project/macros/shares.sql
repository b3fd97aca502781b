{#- Intervals of a share whose units come in clusters: Clopper and Pearson's, on the number of
    independent units that would say as much (Korn & Graubard 1998, Survey Methodology 24, 193;
    variance by linearisation, with the correction for clusters and the bound at the units themselves
    of Parker et al. 2017, NCHS, Vital and Health Statistics 2(175)). A share of 0 or 1 does not show
    how alike the units of a cluster are; each cluster then counts for one. In this order:
    `share_sums` over clusters, `share_deviation`, `effective_count`, int_beta_points, `share_end`. -#}

{#- Sums over clusters. Arguments: SQL that counts a cluster's units, and of them those that have
    what is asked. Result: select items; whole numbers. -#}
{% macro share_sums(evaluated, flagged) -%}
    count(*) filter (where {{ evaluated }} > 0) as cluster_count,
        cast(sum({{ evaluated }}) as hugeint) as evaluated_count,
        cast(sum({{ flagged }}) as hugeint) as flagged_count,
        cast(sum({{ evaluated }} * {{ evaluated }}) as hugeint) as evaluated_squares,
        cast(sum({{ flagged }} * {{ evaluated }}) as hugeint) as products,
        cast(sum({{ flagged }} * {{ flagged }}) as hugeint) as flagged_squares
{%- endmacro %}

{#- Squared deviations of clusters from the common share, times evaluated_count ^ 2: a whole
    number, of the columns of `share_sums`. -#}
{% macro share_deviation() -%}
    evaluated_count * evaluated_count * flagged_squares
        - 2 * evaluated_count * flagged_count * products
        + flagged_count * flagged_count * evaluated_squares
{%- endmacro %}

{#- How many independent units would say as much. Arguments: a relation with the columns of
    `share_sums` and `deviation`; names of joined rows of int_student_limits, at the units less one
    and at the clusters less one. Beyond the table's end Student's limit is expanded. Result: DOUBLE;
    NULL with fewer than min_clusters. -#}
{% macro effective_count(counts, of_units, of_clusters) -%}
    case
            when {{ counts }}.cluster_count < {{ var('min_clusters') }} then null
            when {{ counts }}.flagged_count in (0, {{ counts }}.evaluated_count)
                then cast({{ counts }}.cluster_count as double)
            when {{ counts }}.deviation = 0 then cast({{ counts }}.evaluated_count as double)
            else least(
                cast({{ counts }}.evaluated_count as double),
                cast(
                    {{ counts }}.flagged_count
                    * ({{ counts }}.evaluated_count - {{ counts }}.flagged_count)
                    as double
                )
                * cast({{ counts }}.evaluated_count * {{ counts }}.evaluated_count as double)
                * ({{ counts }}.cluster_count - 1)
                / cast({{ counts }}.cluster_count as double) / cast({{ counts }}.deviation as double)
                * pow(
                    coalesce(
                        {{ of_units }}.t_limit,
                        {{ student_expansion(
                            '(cast(' ~ counts ~ '.evaluated_count as double) - 1)'
                        ) }}
                    ) / {{ of_clusters }}.t_limit,
                    2
                )
            )
        end
{%- endmacro %}

{#- The rest of such a model, from its CTE `summed`, which has the columns of `share_sums`, and `limits`,
    which is int_student_limits: all that `summed` has, deviation, effective_count and
    effective_flagged. -#}
{% macro sized_shares() -%}
    spread as (

        select
            *,
            {{ share_deviation() }} as deviation
        from summed

    ),

    sized as (

        select
            spread.*,
            {{ effective_count('spread', 'of_units', 'of_clusters') }} as effective_count
        from spread
        left join limits as of_units on spread.evaluated_count - 1 = of_units.df
        left join limits as of_clusters on spread.cluster_count - 1 = of_clusters.df

    ),

    final as (

        select
            *,
            cast(flagged_count as double) / nullif(evaluated_count, 0) * effective_count
                as effective_flagged
        from sized

    )
{%- endmacro %}

{#- An end of the interval. Arguments: a relation with `effective_flagged` and `effective_count`, a
    joined row of int_beta_points, `low` or `high`. Result: 0..1, nine digits, which no machine's
    logarithm changes; NULL where the counts are. -#}
{% macro share_end(counts, points, end) -%}
    case
            {%- if end == 'low' %}
            when {{ counts }}.effective_flagged = 0 then 0
            else round({{ points }}.point, 9)
            {%- else %}
            when {{ counts }}.effective_flagged = {{ counts }}.effective_count then 1
            else round(1 - {{ points }}.point, 9)
            {%- endif %}
        end
{%- endmacro %}

{#- Condition that joins a row of int_beta_points for an end. Arguments: as of `share_end`. -#}
{% macro share_point(counts, points, end) -%}
    {%- if end == 'low' -%}
    {{ counts }}.effective_flagged = {{ points }}.a
        and {{ counts }}.effective_count - {{ counts }}.effective_flagged + 1 = {{ points }}.b
    {%- else -%}
    {{ counts }}.effective_count - {{ counts }}.effective_flagged = {{ points }}.a
        and {{ counts }}.effective_flagged + 1 = {{ points }}.b
    {%- endif -%}
{%- endmacro %}
