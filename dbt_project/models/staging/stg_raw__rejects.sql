with source as (

    select * from {{ source('raw', 'rejects') }}

),

renamed as (

    select
        role,
        model_id,
        inference_path,
        file_name,
        reason,
        detail,
        bytes,
        file_sha256
    from source

)

select * from renamed
