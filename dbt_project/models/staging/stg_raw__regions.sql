with source as (

    select * from {{ source('raw', 'regions') }}

),

renamed as (

    select
        region_code,
        region
    from source

)

select * from renamed
