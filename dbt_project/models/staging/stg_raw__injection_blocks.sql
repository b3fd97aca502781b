with source as (

    select * from {{ source('raw', 'injection_blocks') }}

),

renamed as (

    select
        source_image_id,
        site_number,
        kind,
        block_row,
        block_col
    from source

)

select * from renamed
