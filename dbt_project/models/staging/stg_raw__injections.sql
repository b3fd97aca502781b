with source as (

    select * from {{ source('raw', 'injections') }}

),

renamed as (

    select
        image_id,
        model_id,
        inference_path,
        site_number,
        source_image_id,
        arm,
        kind,
        component as signal_part,
        contrast_dn,
        row_px,
        col_px,
        angle,
        energy_dn2,
        range_dn2,
        null_ratio,
        clipped_px,
        response_dn2,
        residue_dn2,
        drawn_sha256,
        source_sha256
    from source

)

select * from renamed
