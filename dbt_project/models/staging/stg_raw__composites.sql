with source as (

    select * from {{ source('raw', 'composites') }}

),

renamed as (

    select
        composite_number,
        detector,
        expression
    from source

)

select * from renamed
