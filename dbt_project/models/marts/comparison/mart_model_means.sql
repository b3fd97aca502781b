with estimates as (

    select * from {{ ref('int_mean_estimates') }}

),

final as (

    select
        source_id,
        model_a as model_id,
        inference_path,
        subgroup_kind,
        subgroup,
        quantity,
        level,
        unit,
        cluster_unit,
        cluster_count,
        image_count,
        mean,
        low as mean_low,
        high as mean_high,
        sd as cluster_sd
    from estimates
    where model_b is null

)

select * from final
