-- Who adds, who loses, and where: what each restorer did to the blocks of all images, its frame,
-- and its power above LR Nyquist. One row per model and inference path; docs/audit.md reads it.
with paths as (

    select
        model_id,
        'notta' as inference_path,
        avg(local_ssim_notta) as local_ssim,
        avg(d_sharp_notta) as sharp,
        avg(d_texture_notta) as texture,
        avg(d_hf_notta) as hf,
        avg(d_noise_notta) as noise,
        avg(d_block4_notta) as block4,
        avg(d_block_notta) as block,
        avg(d_block16_notta) as block16,
        avg(d_ring_notta) as ring,
        avg(d_mu_notta) as mu
    from fct_blocks
    group by model_id
    union all
    select
        model_id,
        'tta' as inference_path,
        avg(local_ssim_tta) as local_ssim,
        avg(d_sharp_tta) as sharp,
        avg(d_texture_tta) as texture,
        avg(d_hf_tta) as hf,
        avg(d_noise_tta) as noise,
        avg(d_block4_tta) as block4,
        avg(d_block_tta) as block,
        avg(d_block16_tta) as block16,
        avg(d_ring_tta) as ring,
        avg(d_mu_tta) as mu
    from fct_blocks
    group by model_id

),

-- Without rows where upscale-audit hyra has not run; networks are asked without augmentation.
networks as (

    select
        model_id,
        'notta' as inference_path,
        median(restored_hf_gain) as hf_gain
    from mart_hyra
    where is_current
    group by model_id

)

select
    paths.model_id,
    paths.inference_path,
    -- Ln energy ratios, restored over reference: above 0 added, below 0 lost.
    round(paths.sharp, 2) as sharp,
    round(paths.texture, 2) as texture,
    round(paths.hf, 2) as fine_grain,
    -- Grey levels, restored minus reference.
    round(paths.noise, 2) as noise_dn,
    round(paths.block4, 2) as block4_dn,
    round(paths.block, 2) as block8_dn,
    round(paths.block16, 2) as block16_dn,
    round(paths.ring, 2) as ring_dn,
    round(paths.mu, 2) as brightness_dn,
    round(paths.local_ssim, 3) as local_ssim,
    -- Above 0: worse on the frame than inside.
    round(1000 * mart_frame_effect.deficit, 1) as frame_deficit_thousandths,
    -- Power over the reference's, median of the images.
    round(networks.hf_gain, 2) as above_lr_nyquist
from paths
left join mart_frame_effect
    on
        paths.model_id = mart_frame_effect.model_id
        and paths.inference_path = mart_frame_effect.inference_path
left join networks
    on
        paths.model_id = networks.model_id
        and paths.inference_path = networks.inference_path
where paths.local_ssim is not null
order by paths.hf desc, paths.model_id, paths.inference_path;
