{#- Rates of the current rule set with their intervals (macros/shares.sql); of the three populations
    only `frozen` can tell one model from another. What a rule finds is known where a phantom study
    asked with the very same thresholds. -#}
with counts as (

    select * from {{ ref('int_flag_counts') }}

),

points as (

    select * from {{ ref('int_beta_points') }}

),

thresholds as (

    select * from {{ ref('int_rule_limits') }}
    where rule_set = 'v2_current'

),

measured as (

    select * from {{ ref('stg_raw__measured_rules') }}
    where rule_set = 'v2_current'

),

final as (

    select
        counts.population,
        counts.source_id,
        counts.model_id,
        counts.inference_path,
        counts.rule_id,
        counts.cluster_unit,
        counts.cluster_count,
        counts.evaluated_count,
        counts.flagged_count,
        cast(counts.flagged_count as double) / nullif(counts.evaluated_count, 0) as flagged_ratio,
        {{ share_end('counts', 'lower_points', 'low') }} as flagged_low_ratio,
        {{ share_end('counts', 'upper_points', 'high') }} as flagged_high_ratio,
        round(counts.effective_count, 9) as effective_count,
        thresholds.thresholds_sha256,
        cast(measured.alarm_count as double) / measured.sham_count as false_alarm_ratio,
        measured.false_alarm_low_ratio,
        measured.false_alarm_high_ratio,
        cast(measured.found_count as double) / measured.drawn_count as sensitivity_ratio,
        measured.sensitivity_low_ratio,
        measured.sensitivity_high_ratio,
        measured.kind as sensitivity_kind,
        measured.contrast_dn as sensitivity_contrast_dn
    from counts
    left join points as lower_points
        on {{ share_point('counts', 'lower_points', 'low') }}
    left join points as upper_points
        on {{ share_point('counts', 'upper_points', 'high') }}
    left join thresholds
        on counts.population = thresholds.population
        and counts.source_id = thresholds.source_id
        and counts.model_id = thresholds.model_id
        and counts.inference_path = thresholds.inference_path
        and counts.rule_id = thresholds.rule_id
    left join measured
        on counts.source_id = 'images'
        and counts.population = measured.population
        and counts.model_id = measured.model_id
        and counts.inference_path = measured.inference_path
        and counts.rule_id = measured.rule_id
        and thresholds.thresholds_sha256 = measured.thresholds_sha256

)

select * from final
