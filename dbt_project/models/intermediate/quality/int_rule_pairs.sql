{#- How often two rules of a set fire on the same image. -#}
with flags as (

    select * from {{ ref('fct_rule_flags') }}

),

final as (

    select
        first.rule_set,
        first.population,
        first.source_id,
        first.rule_id as first_rule_id,
        second.rule_id as second_rule_id,
        count(*) filter (where first.is_flagged and second.is_flagged) as both_count,
        count(*) filter (where first.is_flagged or second.is_flagged) as either_count
    from flags as first
    inner join flags as second
        on first.rule_set = second.rule_set
        and first.population = second.population
        and first.source_id = second.source_id
        and first.model_id = second.model_id
        and first.inference_path = second.inference_path
        and first.image_id = second.image_id
    group by
        first.rule_set, first.population, first.source_id, first.rule_id, second.rule_id

)

select * from final
