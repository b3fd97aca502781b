with source as (

    select * from {{ source('raw', 'reading_boxes') }}

),

renamed as (

    select
        reader,
        image_id,
        subject,
        model_id,
        inference_path,
        finding,
        map_level,
        box_number,
        left_px,
        top_px,
        width_px,
        height_px
    from source

)

select * from renamed
