with source as (

    select * from {{ source('raw', 'readers') }}

),

renamed as (

    select
        reader,
        format,
        file_sha256,
        input_px,
        intensity,
        score,
        has_maps,
        library,
        device
    from source

)

select * from renamed
