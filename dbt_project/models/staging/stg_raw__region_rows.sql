with source as (

    select * from {{ source('raw', 'region_rows') }}

),

renamed as (

    select
        image_id,
        block_row,
        regions,
        covered
    from source

)

select * from renamed
