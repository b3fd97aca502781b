with source as (

    select * from {{ source('raw', 'published_blocks') }}

),

renamed as (

    select
        label,
        form,
        model_id,
        image_id,
        block_row,
        block_col,
        local_ssim_notta,
        pc1_notta,
        axis1_notta,
        mse_dn2_notta,
        lr_contradicted_px_notta,
        d_sharp_notta,
        d_texture_notta,
        d_hf_notta,
        d_noise_notta,
        d_block_notta,
        d_block16_notta,
        d_block4_notta,
        d_ring_notta,
        d_mu_notta,
        is_silent_notta,
        is_textured_notta,
        is_lum_over_notta,
        is_lum_under_notta,
        local_ssim_tta,
        pc1_tta,
        axis1_tta,
        mse_dn2_tta,
        lr_contradicted_px_tta,
        d_sharp_tta,
        d_texture_tta,
        d_hf_tta,
        d_noise_tta,
        d_block_tta,
        d_block16_tta,
        d_block4_tta,
        d_ring_tta,
        d_mu_tta,
        is_silent_tta,
        is_textured_tta,
        is_lum_over_tta,
        is_lum_under_tta,
        delta_ssim,
        state
    from source

)

select * from renamed
