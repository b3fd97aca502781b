{#- The rules are data; this is the one place that applies them. SQL's own three-valued logic is
    spelt out: a clause without value or threshold is unknown, an alternative holds if every
    clause does and fails if any fails, a rule fires if any alternative holds. -#}
with clauses as (

    select * from {{ ref('rule_clauses') }}

),

metric_values as (

    select * from {{ ref('int_metric_values') }}

),

thresholds as (

    select * from {{ ref('int_rule_thresholds') }}

),

populations as (

    select
        population,
        source_id,
        model_id,
        inference_path
    from thresholds
    group by population, source_id, model_id, inference_path

),

compared as (

    select
        clauses.rule_set,
        populations.population,
        metric_values.source_id,
        metric_values.model_id,
        metric_values.inference_path,
        metric_values.image_id,
        clauses.rule_id,
        clauses.alternative,
        clauses.operator,
        metric_values.value,
        case clauses.threshold_kind
            when 'fixed' then clauses.fixed_threshold
            else thresholds.threshold
        end as threshold
    from clauses
    inner join metric_values on clauses.metric = metric_values.metric
    inner join populations
        on metric_values.source_id = populations.source_id
        and metric_values.model_id = populations.model_id
        and metric_values.inference_path = populations.inference_path
    left join thresholds
        on populations.population = thresholds.population
        and metric_values.source_id = thresholds.source_id
        and metric_values.model_id = thresholds.model_id
        and metric_values.inference_path = thresholds.inference_path
        and metric_values.metric = thresholds.metric
        and clauses.quantile_level = thresholds.quantile_level

),

decided as (

    select
        *,
        case operator
            when '>' then value > threshold
            when '>=' then value >= threshold
            when '<' then value < threshold
            when '<=' then value <= threshold
        end as holds
    from compared

),

alternatives as (

    select
        rule_set,
        population,
        source_id,
        model_id,
        inference_path,
        image_id,
        rule_id,
        alternative,
        case
            when bool_or(not holds) then false
            when count(*) = count(holds) then true
        end as holds
    from decided
    group by
        rule_set, population, source_id, model_id, inference_path, image_id, rule_id, alternative

),

final as (

    select
        rule_set,
        population,
        source_id,
        model_id,
        inference_path,
        image_id,
        rule_id,
        case
            when bool_or(holds) then true
            when count(*) = count(holds) then false
        end as is_flagged
    from alternatives
    group by rule_set, population, source_id, model_id, inference_path, image_id, rule_id

)

select * from final
