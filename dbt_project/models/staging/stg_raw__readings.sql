with source as (

    select * from {{ source('raw', 'readings') }}

),

renamed as (

    select
        reader,
        image_id,
        subject,
        model_id,
        inference_path,
        finding,
        file_sha256,
        score
    from source

)

select * from renamed
