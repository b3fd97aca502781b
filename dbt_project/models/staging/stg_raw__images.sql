with source as (

    select * from {{ source('raw', 'images') }}

),

renamed as (

    select
        image_id,
        width_px,
        height_px,
        cast(ceil(height_px / 8.0) as integer) as block_rows,
        cast(ceil(width_px / 8.0) as integer) as block_cols,
        edge_low_dn,
        edge_high_dn,
        lr_rule_status,
        lr_detail,
        lr_rule,
        lr_scale,
        lr_unit,
        lr_bound,
        lr_px,
        lr_border_px,
        lr_clamped_px,
        lr_contradicted_px,
        lr_largest_dn,
        patient_id
    from source

)

select * from renamed
