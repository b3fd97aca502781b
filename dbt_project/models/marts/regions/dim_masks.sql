with masks as (

    select * from {{ ref('stg_raw__masks') }}

),

final as (

    select
        image_id,
        status,
        file_name,
        line_number,
        dice_rca,
        mask_width_px,
        mask_height_px,
        overlap_px,
        regions_sha256
    from masks

)

select * from final
