{#- The macro `constants` as a table, and below it the fixed thresholds of published rules. -#}
with clauses as (

    select * from {{ ref('rule_clauses') }}
    where threshold_kind = 'fixed'

),

metrics as (

    select * from {{ ref('stg_raw__metrics') }}

),

listed as (

    select *
    from (values
        {%- for name, facts in constants().items() %}
        {%- set unit = "'" ~ facts.unit ~ "'" if facts.unit else 'null' %}
        (
            '{{ name }}', {{ unit }}, cast({{ facts.value }} as double),
            '{{ facts.decides }}', '{{ facts.section }}', {{ facts.is_own }}
        )
        {{- ',' if not loop.last }}
        {%- endfor %}
    ) as stated (constant, unit, value, decides, section, is_own)

),

ruled as (

    select
        clauses.rule_set || '.' || clauses.rule_id || '.' || clauses.metric as constant,
        nullif(metrics.unit, '') as unit,
        clauses.fixed_threshold as value,
        'Rule ' || clauses.rule_id || ' of ' || clauses.rule_set || ' asks for '
        || clauses.metric || ' ' || clauses.operator || ' this.' as decides,
        'C.1' as section,
        false as is_own
    from clauses
    left join metrics on clauses.metric = metrics.metric

),

final as (

    select
        constant,
        section,
        unit,
        decides,
        value,
        is_own
    from listed
    union all
    select
        constant,
        section,
        unit,
        decides,
        value,
        is_own
    from ruled

)

select * from final
