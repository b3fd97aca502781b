{#- SHA-256 of the thresholds that decide a rule, in the order of its clauses; for `any` and `high`
    of all rules of the set. Equal hashes say that two studies ask the same of an image. -#}
{%- set groups = ['rule_set', 'population', 'source_id', 'model_id', 'inference_path'] -%}
with clauses as (

    select * from {{ ref('rule_clauses') }}

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

spelt as (

    select
        clauses.rule_set,
        populations.population,
        populations.source_id,
        populations.model_id,
        populations.inference_path,
        clauses.rule_id,
        clauses.alternative,
        clauses.clause,
        clauses.rule_id || ' ' || clauses.metric || ' ' || clauses.operator || ' '
        || coalesce(
            cast(
                case clauses.threshold_kind
                    when 'fixed' then clauses.fixed_threshold
                    else thresholds.threshold
                end as varchar
            ), 'none'
        ) as spelling
    from clauses
    cross join populations
    left join thresholds
        on populations.population = thresholds.population
        and populations.source_id = thresholds.source_id
        and populations.model_id = thresholds.model_id
        and populations.inference_path = thresholds.inference_path
        and clauses.metric = thresholds.metric
        and clauses.quantile_level = thresholds.quantile_level

),

ruled as (

    select
        {{ groups | join(', ') }},
        rule_id,
        string_agg(spelling, chr(10) order by alternative, clause) as spelling
    from spelt
    group by {{ groups | join(', ') }}, rule_id

),

final as (

    select
        {{ groups | join(', ') }},
        rule_id,
        sha256(spelling) as thresholds_sha256
    from ruled
    union all
    select
        ruled.{{ groups | join(', ruled.') }},
        classes.rule_id,
        sha256(string_agg(ruled.spelling, chr(10) order by ruled.rule_id)) as thresholds_sha256
    from ruled
    cross join (values ('any'), ('high')) as classes (rule_id)
    group by ruled.{{ groups | join(', ruled.') }}, classes.rule_id

)

select * from final
