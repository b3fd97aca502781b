{#- What detectors are, and how they rank: by the share of all that was drawn into restored images,
    in full, which they find at one false alarm in a hundred. -#}
with findings as (

    select * from {{ ref('int_detector_findings') }}
    where
        signal_part = 'full'
        and level_ratio = cast({{ constant('ranked_level') }} as double) / 1000

),

components as (

    select * from {{ ref('direction_components') }}

),

composites as (

    select * from {{ ref('stg_raw__composites') }}

),

described as (

    select *
    from (values
        {%- for name, detector in block_detectors('').items() %}
        {%- set unit = "'" ~ detector.unit ~ "'" if detector.unit else 'null' %}
        ('{{ name }}', '{{ detector.family }}', {{ unit }})
        {{- ',' if not loop.last }}
        {%- endfor %}
    ) as listed (detector, family, unit)

),

pooled as (

    select
        detector,
        reading
        {%- for arm in injection_arms() %},
        cast(sum(evaluated_count) filter (where arm = '{{ arm }}') as bigint)
            as {{ arm }}_drawn_count,
        cast(sum(flagged_count) filter (where arm = '{{ arm }}') as bigint)
            as {{ arm }}_found_count
        {%- endfor %},
        count(distinct kind) as kind_count,
        count(distinct model_id) as model_count,
        count(*) as condition_count
    from findings
    group by detector, reading

),

shared as (

    select
        *
        {%- for arm in injection_arms() %},
        cast({{ arm }}_found_count as double) / {{ arm }}_drawn_count
            as {{ arm }}_sensitivity_ratio
        {%- endfor %}
    from pooled

),

final as (

    select
        shared.detector,
        shared.reading,
        coalesce(described.family, 'composite') as family,
        coalesce(described.unit, components.unit) as unit,
        composites.expression,
        case shared.reading
            when 'value' then 'more'
            when 'negated' then 'less'
            else 'farther from 0'
        end as direction,
        case
            when shared.auditor_sensitivity_ratio is not null
                then rank() over (order by shared.auditor_sensitivity_ratio desc nulls last)
        end as rank_number
        {%- for arm in injection_arms() %},
        shared.{{ arm }}_drawn_count,
        shared.{{ arm }}_found_count,
        shared.{{ arm }}_sensitivity_ratio
        {%- endfor %},
        shared.kind_count,
        shared.model_count,
        shared.condition_count
    from shared
    left join described on shared.detector = described.detector
    left join composites on shared.detector = composites.detector
    left join components on shared.detector = components.column_stem

)

select * from final
