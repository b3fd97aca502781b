with source as (

    select * from {{ source('raw', 'hyra_images') }}

),

renamed as (

    select
        model_id,
        image_id,
        reference_sha256,
        reason,
        scale,
        step_dn,
        lr_height_px,
        lr_width_px,
        margin_px,
        hyra_lin_energy,
        hyra_lin_contrast,
        nonlin_rms_dn,
        reference_hf_ratio,
        restored_hf_ratio,
        linear_hf_ratio,
        hyra_nonlin_hf,
        restored_hf_gain,
        linear_hf_gain,
        nonlin_hf_gain,
        hf_correlation,
        best_linear_contrast,
        best_nonlin_rms_dn,
        best_nonlin_hf,
        best_nonlin_hf_gain
    from source

)

select * from renamed
