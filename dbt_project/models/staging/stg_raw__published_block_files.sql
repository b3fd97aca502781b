with source as (

    select * from {{ source('raw', 'published_block_files') }}

),

renamed as (

    select
        label,
        file_name,
        form,
        model_id,
        bytes,
        file_sha256,
        hash_status,
        hash_list,
        image_count,
        block_count
    from source

)

select * from renamed
