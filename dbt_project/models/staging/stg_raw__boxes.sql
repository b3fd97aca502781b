with source as (

    select * from {{ source('raw', 'boxes') }}

),

renamed as (

    select
        image_id,
        box_number,
        finding,
        left_px,
        top_px,
        width_px,
        height_px
    from source

)

select * from renamed
