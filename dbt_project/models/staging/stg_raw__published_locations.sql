with source as (

    select * from {{ source('raw', 'published_locations') }}

),

renamed as (

    select
        label,
        row_number,
        model_id,
        image_id,
        min_ssim_value,
        min_row,
        min_col,
        total_rows,
        total_cols,
        distance_to_boundary,
        normalized_distance,
        is_boundary
    from source

)

select * from renamed
