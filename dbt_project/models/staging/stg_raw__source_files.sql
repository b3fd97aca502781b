with source as (

    select * from {{ source('raw', 'source_files') }}

),

renamed as (

    select
        role,
        model_id,
        inference_path,
        image_id,
        file_name,
        bytes,
        file_sha256,
        pixel_sha256,
        width_px,
        height_px,
        colour_mode,
        bit_depth,
        grey_rule,
        transparent_px,
        orientation,
        gamma,
        icc_sha256,
        grey_sha256,
        lowest_dn,
        highest_dn
    from source

)

select * from renamed
