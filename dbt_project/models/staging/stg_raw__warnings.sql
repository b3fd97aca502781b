with source as (

    select * from {{ source('raw', 'warnings') }}

),

renamed as (

    select
        warning,
        subject,
        other,
        model_id,
        inference_path,
        item_count,
        total_count,
        example,
        sentence
    from source

)

select * from renamed
