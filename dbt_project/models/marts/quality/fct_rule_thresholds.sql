with thresholds as (

    select * from {{ ref('int_rule_thresholds') }}

),

final as (

    select
        population,
        source_id,
        model_id,
        inference_path,
        metric,
        quantile_level,
        threshold
    from thresholds

)

select * from final
