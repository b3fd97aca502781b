with files as (

    select * from {{ ref('stg_raw__published_block_files') }}

),

final as (

    select
        label,
        file_name,
        form,
        model_id,
        hash_status,
        hash_list,
        bytes,
        image_count,
        block_count,
        file_sha256
    from files

)

select * from final
