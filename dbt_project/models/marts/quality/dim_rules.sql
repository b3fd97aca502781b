with rules as (

    select * from {{ ref('rules') }}

),

clauses as (

    select * from {{ ref('rule_clauses') }}

),

metrics as (

    select * from {{ ref('stg_raw__metrics') }}

),

described as (

    select
        clauses.rule_set,
        clauses.rule_id,
        count(*) as clause_count,
        bool_and(coalesce(metrics.looks_at, 'both') = 'restored') as is_output_only,
        any_value(clauses.quantile_level) as quantile_level,
        any_value(clauses.operator) as operator
    from clauses
    left join metrics on clauses.metric = metrics.metric
    group by clauses.rule_set, clauses.rule_id

),

final as (

    select
        rules.rule_set,
        rules.rule_id,
        rules.rule_number,
        rules.family,
        rules.label,
        rules.label_ja,
        rules.label_en,
        described.clause_count,
        described.is_output_only,
        case
            when described.clause_count > 1 then null
            when described.operator in ('>', '>=') then round(1 - described.quantile_level, 9)
            else described.quantile_level
        end as nominal_ratio,
        rules.source
    from rules
    inner join described
        on rules.rule_set = described.rule_set
        and rules.rule_id = described.rule_id

)

select * from final
