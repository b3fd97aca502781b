with source as (

    select * from {{ source('raw', 'image_metrics') }}

),

renamed as (

    select
        model_id,
        inference_path,
        image_id,
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
        mae,
        noise_sigma_immerkaer,
        noise_sigma_mad,
        blockiness_bef_8,
        blockiness_ratio_8,
        blockiness_bef_16,
        blockiness_ratio_16,
        blockiness_bef_4,
        blockiness_ratio_4,
        ringing_fr,
        fsds,
        haarpsi,
        ssim_rounded,
        ms_ssim_rounded,
        psnr_rounded,
        lpips_rounded,
        sharpness_rounded,
        sharpness_diff_pct_rounded,
        contrast_rounded,
        contrast_diff_pct_rounded,
        entropy_rounded,
        noise_rounded,
        edge_density_rounded,
        edge_diff_pct_rounded,
        artifact_block_rounded,
        artifact_ringing_rounded,
        delta_e_rounded,
        local_quality_mean_rounded,
        local_quality_std_rounded,
        local_quality_min_rounded,
        histogram_corr_rounded,
        total_score_rounded,
        mae_rounded
    from source

)

select * from renamed
