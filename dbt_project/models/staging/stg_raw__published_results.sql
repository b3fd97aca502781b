with source as (

    select * from {{ source('raw', 'published_results') }}

),

renamed as (

    select
        label,
        row_number,
        model_id,
        image_id,
        original_path,
        upscaled_path,
        original_width_px,
        original_height_px,
        original_format,
        upscaled_width_px,
        upscaled_height_px,
        upscaled_format,
        ssim,
        ms_ssim,
        psnr,
        lpips,
        sharpness,
        sharpness_diff_pct,
        contrast,
        contrast_diff_pct,
        entropy,
        noise,
        edge_density,
        edge_diff_pct,
        artifact_block,
        artifact_ringing,
        artifact_total,
        delta_e,
        high_freq_ratio,
        texture_complexity,
        local_quality_mean,
        local_quality_std,
        local_quality_min,
        histogram_corr,
        lab_L_mean,
        total_score,
        detection_count,
        detected_patterns,
        confidence_level
    from source

)

select * from renamed
