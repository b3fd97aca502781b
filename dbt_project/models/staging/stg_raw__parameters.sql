with source as (

    select * from {{ source('raw', 'parameters') }}

),

renamed as (

    select
        bootstrap_seed,
        baseline_model
    from source

)

select * from renamed
