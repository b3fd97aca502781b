{#- What a rule's flags say beyond its own construction and the other rules. -#}
with rules as (

    select * from {{ ref('dim_rules') }}

),

flags as (

    select * from {{ ref('fct_rule_flags') }}

),

verdicts as (

    select * from {{ ref('fct_verdicts') }}

),

pairings as (

    select * from {{ ref('mart_rule_overlap') }}

),

counted as (

    select
        flags.rule_set,
        flags.population,
        flags.source_id,
        flags.rule_id,
        count(*) as image_count,
        count(flags.is_flagged) as evaluated_count,
        count(*) filter (where flags.is_flagged) as flagged_count,
        count(*) filter (where flags.is_flagged and verdicts.detection_count = 1) as sole_count
    from flags
    inner join verdicts
        on flags.rule_set = verdicts.rule_set
        and flags.population = verdicts.population
        and flags.source_id = verdicts.source_id
        and flags.model_id = verdicts.model_id
        and flags.inference_path = verdicts.inference_path
        and flags.image_id = verdicts.image_id
    group by flags.rule_set, flags.population, flags.source_id, flags.rule_id

),

nearest as (

    select
        rule_set,
        population,
        source_id,
        first_rule_id as rule_id,
        arg_max(second_rule_id, struct_pack(ratio := jaccard_ratio, name := second_rule_id))
            as nearest_rule_id,
        max(jaccard_ratio) as nearest_jaccard_ratio
    from pairings
    where jaccard_ratio > 0
    group by rule_set, population, source_id, first_rule_id

),

final as (

    select
        counted.rule_set,
        counted.population,
        counted.source_id,
        counted.rule_id,
        case
            when counted.evaluated_count = 0 then 'not evaluated'
            when counted.flagged_count = 0 then 'never fires'
            when nearest.nearest_jaccard_ratio = 1
                then 'same images as ' || nearest.nearest_rule_id
            when rules.nominal_ratio is not null and counted.population != 'frozen'
                then 'rate fixed by construction'
            when rules.is_output_only then 'describes the image, not a change'
            else 'carries information'
        end as assessment,
        rules.is_output_only,
        rules.nominal_ratio,
        counted.image_count,
        counted.evaluated_count,
        counted.flagged_count,
        cast(counted.flagged_count as double) / nullif(counted.evaluated_count, 0) as flagged_ratio,
        cast(counted.sole_count as double) / nullif(counted.flagged_count, 0) as sole_ratio,
        nearest.nearest_rule_id,
        nearest.nearest_jaccard_ratio
    from counted
    inner join rules
        on counted.rule_set = rules.rule_set
        and counted.rule_id = rules.rule_id
    left join nearest
        on counted.rule_set = nearest.rule_set
        and counted.population = nearest.population
        and counted.source_id = nearest.source_id
        and counted.rule_id = nearest.rule_id

)

select * from final
