{#- A published file may carry the flags its program set. Each rule set, thresholds pooled as
    published, is held against them row by row. -#}
with results as (

    select * from {{ ref('stg_raw__published_results') }}

),

verdicts as (

    select * from {{ ref('fct_verdicts') }}

),

final as (

    select
        verdicts.rule_set,
        verdicts.source_id,
        count(*) as row_count,
        count(results.detection_count) as flagged_row_count,
        count(*) filter (where results.detection_count = verdicts.detection_count)
            as equal_count_count,
        count(*) filter (
            where results.detected_patterns in (
                verdicts.detected_patterns, verdicts.detected_patterns_ja
            )
        ) as equal_patterns_count,
        count(*) filter (where results.confidence_level = verdicts.confidence)
            as equal_confidence_count
    from verdicts
    inner join results
        on verdicts.source_id = results.label
        and verdicts.model_id = results.model_id
        and verdicts.image_id = results.image_id
    where verdicts.population = 'pooled'
    group by verdicts.rule_set, verdicts.source_id

)

select * from final
