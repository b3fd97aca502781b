with rejects as (

    select * from {{ ref('stg_raw__rejects') }}

),

final as (

    select
        role,
        model_id,
        inference_path,
        file_name,
        reason,
        detail,
        bytes,
        file_sha256
    from rejects

)

select * from final
