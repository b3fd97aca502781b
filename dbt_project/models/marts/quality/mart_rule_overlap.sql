with pairs as (

    select * from {{ ref('int_rule_pairs') }}

),

final as (

    select
        rule_set,
        population,
        source_id,
        first_rule_id,
        second_rule_id,
        both_count,
        either_count,
        cast(both_count as double) / nullif(either_count, 0) as jaccard_ratio
    from pairs
    where first_rule_id != second_rule_id

)

select * from final
