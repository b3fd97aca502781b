with source as (

    select * from {{ source('raw', 'pairs') }}

),

renamed as (

    select
        image_id,
        model_id,
        inference_path,
        status,
        match_rule,
        file_name
    from source

)

select * from renamed
