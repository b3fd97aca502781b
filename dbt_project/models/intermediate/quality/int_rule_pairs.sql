{#- How often two rules of a set fire on the same image. Every rule of a set has a flag for every
    image of a source, so that how often either fires follows from the counts of both; joining only
    raised flags, about one in ten, takes a hundredth of joining all. -#}
with flags as (

    select * from {{ ref('fct_rule_flags') }}

),

rules as (

    select
        rule_set,
        population,
        source_id,
        rule_id,
        count(*) filter (where is_flagged) as flagged_count
    from flags
    group by rule_set, population, source_id, rule_id

),

raised as (

    select * from flags
    where is_flagged

),

shared as (

    select
        first.rule_set,
        first.population,
        first.source_id,
        first.rule_id as first_rule_id,
        second.rule_id as second_rule_id,
        count(*) as both_count
    from raised as first
    inner join raised as second
        on first.rule_set = second.rule_set
        and first.population = second.population
        and first.source_id = second.source_id
        and first.model_id = second.model_id
        and first.inference_path = second.inference_path
        and first.image_id = second.image_id
    group by
        first.rule_set, first.population, first.source_id, first.rule_id, second.rule_id

),

final as (

    select
        first.rule_set,
        first.population,
        first.source_id,
        first.rule_id as first_rule_id,
        second.rule_id as second_rule_id,
        coalesce(shared.both_count, 0) as both_count,
        first.flagged_count + second.flagged_count - coalesce(shared.both_count, 0)
            as either_count
    from rules as first
    inner join rules as second
        on first.rule_set = second.rule_set
        and first.population = second.population
        and first.source_id = second.source_id
    left join shared
        on first.rule_set = shared.rule_set
        and first.population = shared.population
        and first.source_id = shared.source_id
        and first.rule_id = shared.first_rule_id
        and second.rule_id = shared.second_rule_id

)

select * from final
