with source as (

    select * from {{ source('raw', 'published_comparisons') }}

),

renamed as (

    select
        label,
        model_id,
        metric,
        statistic,
        value
    from source

)

select * from renamed
