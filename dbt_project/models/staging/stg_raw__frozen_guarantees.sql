with source as (

    select * from {{ source('raw', 'frozen_guarantees') }}

),

renamed as (

    select
        model_id,
        inference_path,
        score,
        loss,
        alpha_ratio,
        loss_limit_dn2,
        limit_score,
        cluster_count,
        bound_ratio,
        study_name
    from source

)

select * from renamed
