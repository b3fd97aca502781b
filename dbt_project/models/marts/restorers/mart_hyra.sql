with images as (

    select * from {{ ref('stg_raw__hyra_images') }}

),

source_files as (

    select * from {{ ref('stg_raw__source_files') }}

),

reference_files as (

    select
        image_id,
        file_sha256
    from source_files
    where role = 'reference'

),

final as (

    select
        images.model_id,
        images.image_id,
        images.reason,
        images.scale,
        1.0 / (2 * cast(images.scale as double)) as lr_nyquist,
        images.step_dn,
        images.lr_height_px,
        images.lr_width_px,
        images.margin_px,
        images.hyra_lin_energy,
        images.hyra_lin_contrast,
        images.nonlin_rms_dn,
        images.reference_hf_ratio,
        images.restored_hf_ratio,
        images.linear_hf_ratio,
        images.hyra_nonlin_hf,
        images.restored_hf_gain,
        images.linear_hf_gain,
        images.nonlin_hf_gain,
        images.hf_correlation,
        images.best_linear_contrast,
        images.best_nonlin_rms_dn,
        images.best_nonlin_hf,
        images.best_nonlin_hf_gain,
        images.reference_sha256 = reference_files.file_sha256 as is_current,
        images.reference_sha256
    from images
    left join reference_files
        on images.image_id = reference_files.image_id

)

select * from final
