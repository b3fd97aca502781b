with files as (

    select * from {{ ref('stg_raw__source_files') }}

),

final as (

    select
        role,
        model_id,
        inference_path,
        image_id,
        file_name,
        bytes,
        width_px,
        height_px,
        colour_mode,
        bit_depth,
        grey_rule,
        transparent_px,
        orientation,
        gamma,
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
        size_rule,
        file_sha256,
        lowest_dn,
        highest_dn,
        pixel_sha256,
        grey_sha256,
        icc_sha256
    from files

)

select * from final
