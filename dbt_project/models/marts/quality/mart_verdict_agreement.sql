{#- How far the verdict depends on the choice of rules and of population. -#}
with verdicts as (

    select * from {{ ref('fct_verdicts') }}

),

final as (

    select
        first.source_id,
        first.rule_set as first_rule_set,
        first.population as first_population,
        second.rule_set as second_rule_set,
        second.population as second_population,
        count(*) as image_count,
        cast(count(*) filter (where first.detection_count = second.detection_count) as double)
        / count(*) as equal_count_ratio,
        cast(count(*) filter (where first.confidence = second.confidence) as double)
        / count(*) as equal_confidence_ratio
    from verdicts as first
    inner join verdicts as second
        on first.source_id = second.source_id
        and first.model_id = second.model_id
        and first.inference_path = second.inference_path
        and first.image_id = second.image_id
    where first.evaluated_count > 0 and second.evaluated_count > 0
    group by
        first.source_id, first.rule_set, first.population, second.rule_set, second.population

)

select * from final
