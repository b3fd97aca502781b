with results as (

    select * from {{ ref('stg_raw__published_results') }}

),

final as (

    select
        label as source_id,
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
        upscaled_format
    from results

)

select * from final
