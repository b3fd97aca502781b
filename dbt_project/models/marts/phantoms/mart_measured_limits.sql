with measured as (

    select * from {{ ref('stg_raw__measured_limits') }}

),

models as (

    select * from {{ ref('dim_models') }}

),

final as (

    select
        measured.model_id,
        measured.inference_path,
        measured.detector,
        measured.reading,
        measured.level_ratio,
        measured.kind,
        measured.contrast_dn,
        measured.cluster_unit,
        measured.limit_score,
        measured.stated_limit,
        measured.sham_count,
        measured.alarm_count,
        cast(measured.alarm_count as double) / measured.sham_count as false_alarm_ratio,
        measured.false_alarm_low_ratio,
        measured.false_alarm_high_ratio,
        measured.drawn_count,
        measured.found_count,
        cast(measured.found_count as double) / measured.drawn_count as sensitivity_ratio,
        measured.sensitivity_low_ratio,
        measured.sensitivity_high_ratio,
        measured.study_name as measured_in
    from measured
    inner join models on measured.model_id = models.model_id

)

select * from final
