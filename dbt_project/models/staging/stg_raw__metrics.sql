with source as (

    select * from {{ source('raw', 'metrics') }}

),

renamed as (

    select
        metric,
        metric_number,
        unit,
        lowest,
        highest,
        published_decimals,
        polarity as preference,
        looks_at,
        source,
        description,
        null_when,
        not_measured
    from source

)

select * from renamed
