with source as (

    select * from {{ source('raw', 'reading_maps') }}

),

renamed as (

    select
        reader,
        image_id,
        subject,
        model_id,
        inference_path,
        finding,
        map_correlation,
        overlap_60,
        overlap_180
    from source

)

select * from renamed
