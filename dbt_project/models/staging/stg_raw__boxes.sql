with source as (

    select * from {{ source('raw', 'boxes') }}

),

renamed as (

    select
        image_id,
        box_number,
        line_number,
        finding,
        left_px,
        top_px,
        width_px,
        height_px,
        frame,
        frame_rule,
        status
    from source

)

select * from renamed
