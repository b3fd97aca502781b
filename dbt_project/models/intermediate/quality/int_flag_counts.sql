{#- How often each current rule fires, and how many independent images would say as much
    (macros/shares.sql). `any` is at least one rule, `high` five or more. -#}
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

clustered as (

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
    cross join (
        values ('any', {{ constant('verdict_low') }}), ('high', {{ constant('verdict_high') }})
    ) as classes (rule_id, least_count)
    group by
        verdicts.population, verdicts.source_id, verdicts.model_id, verdicts.inference_path,
        clusters.cluster_id, clusters.cluster_unit, classes.rule_id

),

summed as (

    select
        population,
        source_id,
        model_id,
        inference_path,
        rule_id,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        {{ share_sums('evaluated_count', 'flagged_count') }}
    from clustered
    group by population, source_id, model_id, inference_path, rule_id

),

spread as (

    select
        *,
        {{ share_deviation() }} as deviation
    from summed

),

sized as (

    select
        spread.population,
        spread.source_id,
        spread.model_id,
        spread.inference_path,
        spread.rule_id,
        spread.cluster_unit,
        spread.cluster_count,
        cast(spread.evaluated_count as bigint) as evaluated_count,
        cast(spread.flagged_count as bigint) as flagged_count,
        {{ effective_count('spread', 'of_images', 'of_clusters') }} as effective_count
    from spread
    left join limits as of_images on spread.evaluated_count - 1 = of_images.df
    left join limits as of_clusters on spread.cluster_count - 1 = of_clusters.df

),

final as (

    select
        *,
        cast(flagged_count as double) / nullif(evaluated_count, 0) * effective_count
            as effective_flagged
    from sized

)

select * from final
