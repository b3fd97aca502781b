with source as (

    select * from {{ source('raw', 'measured_rules') }}

),

renamed as (

    select
        rule_set,
        population,
        model_id,
        inference_path,
        rule_id,
        thresholds_sha256,
        kind,
        contrast_dn,
        cluster_unit,
        sham_count,
        alarm_count,
        false_alarm_low_ratio,
        false_alarm_high_ratio,
        drawn_count,
        found_count,
        sensitivity_low_ratio,
        sensitivity_high_ratio,
        study_name
    from source

)

select * from renamed
