{#- Rates of the current rule set with cluster bootstrap intervals; of the three populations only
    `frozen` can tell one model from another. `any` is at least one rule, `high` five or more. -#}
{%- set rule_ids = current_rules() -%}
{%- set counted_names = rule_ids + ['any', 'high'] -%}
with flags as (

    select * from {{ ref('fct_rule_flags') }}
    where rule_set = 'v2_current'

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

verdicts as (

    select * from {{ ref('fct_verdicts') }}
    where rule_set = 'v2_current'

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

draws as (

    select * from {{ ref('int_cluster_draws') }}

),

long_counts as (

    select
        flags.population,
        flags.source_id,
        flags.model_id,
        flags.inference_path,
        clusters.cluster_id,
        clusters.cluster_unit,
        flags.rule_id,
        count(flags.is_flagged) as evaluated_count,
        count(*) filter (where flags.is_flagged) as flagged_count
    from flags
    inner join clusters on flags.image_id = clusters.image_id
    group by
        flags.population, flags.source_id, flags.model_id, flags.inference_path,
        clusters.cluster_id, clusters.cluster_unit, flags.rule_id
    union all
    select
        verdicts.population,
        verdicts.source_id,
        verdicts.model_id,
        verdicts.inference_path,
        clusters.cluster_id,
        clusters.cluster_unit,
        classes.rule_id,
        count(*) filter (where verdicts.evaluated_count > 0) as evaluated_count,
        count(*) filter (where verdicts.detection_count >= classes.least_count) as flagged_count
    from verdicts
    inner join clusters on verdicts.image_id = clusters.image_id
    cross join (values ('any', 1), ('high', 5)) as classes (rule_id, least_count)
    group by
        verdicts.population, verdicts.source_id, verdicts.model_id, verdicts.inference_path,
        clusters.cluster_id, clusters.cluster_unit, classes.rule_id

),

measured as (

    select
        population,
        source_id,
        model_id,
        inference_path,
        rule_id,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(*) filter (where evaluated_count > 0) as cluster_count,
        cast(sum(evaluated_count) as bigint) as evaluated_count,
        cast(sum(flagged_count) as bigint) as flagged_count
    from long_counts
    group by population, source_id, model_id, inference_path, rule_id

),

wide_counts as (

    select
        population,
        source_id,
        model_id,
        inference_path,
        cluster_id
        {%- for name in counted_names %},
        sum(evaluated_count) filter (where rule_id = '{{ name }}') as evaluated_{{ name }},
        sum(flagged_count) filter (where rule_id = '{{ name }}') as flagged_{{ name }}
        {%- endfor %}
    from long_counts
    group by population, source_id, model_id, inference_path, cluster_id

),

replicates as (

    select
        wide_counts.population,
        wide_counts.source_id,
        wide_counts.model_id,
        wide_counts.inference_path,
        draws.replicate
        {%- for name in counted_names %},
        cast(sum(draws.weight * wide_counts.flagged_{{ name }}) as double)
        / nullif(sum(draws.weight * wide_counts.evaluated_{{ name }}), 0) as rate_{{ name }}
        {%- endfor %}
    from wide_counts
    inner join draws on wide_counts.cluster_id = draws.cluster_id
    group by
        wide_counts.population, wide_counts.source_id, wide_counts.model_id,
        wide_counts.inference_path, draws.replicate

),

intervals as (

    {%- for name in counted_names %}
    select
        population,
        source_id,
        model_id,
        inference_path,
        '{{ name }}' as rule_id,
        quantile_cont(rate_{{ name }}, 0.025) as rate_low,
        quantile_cont(rate_{{ name }}, 0.975) as rate_high
    from replicates
    group by population, source_id, model_id, inference_path
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        measured.population,
        measured.source_id,
        measured.model_id,
        measured.inference_path,
        measured.rule_id,
        measured.cluster_unit,
        measured.cluster_count,
        measured.evaluated_count,
        measured.flagged_count,
        cast(measured.flagged_count as double) / nullif(measured.evaluated_count, 0)
            as flagged_ratio,
        {{ interval_end(
            '(cast(measured.flagged_count as double) / nullif(measured.evaluated_count, 0))',
            'intervals.rate_low', 'measured.cluster_count', 'limits', 0, 1
        ) }} as flagged_low_ratio,
        {{ interval_end(
            '(cast(measured.flagged_count as double) / nullif(measured.evaluated_count, 0))',
            'intervals.rate_high', 'measured.cluster_count', 'limits', 0, 1
        ) }} as flagged_high_ratio
    from measured
    left join intervals
        on measured.population = intervals.population
        and measured.source_id = intervals.source_id
        and measured.model_id = intervals.model_id
        and measured.inference_path = intervals.inference_path
        and measured.rule_id = intervals.rule_id
    left join limits on measured.cluster_count - 1 = limits.df

)

select * from final
