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
        highest_dn,
        window_rule,
        window_low,
        window_high,
        window_clipped_px,
        rescale_slope,
        rescale_intercept,
        is_inverted,
        padding_px,
        row_spacing_mm,
        col_spacing_mm,
        size_rule
    from source

)

select * from renamed
