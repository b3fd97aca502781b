with source as (

    select * from {{ source('raw', 'patches') }}

),

renamed as (

    select
        model_id,
        inference_path,
        image_id,
        patch_px,
        patch_row,
        patch_col,
        lr_nyquist,
        frc50_end,
        frc75_end
    from source

)

select * from renamed
