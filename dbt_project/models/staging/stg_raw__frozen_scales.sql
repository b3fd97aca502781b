with source as (

    select * from {{ source('raw', 'frozen_scales') }}

),

renamed as (

    select
        component,
        robust_sd
    from source

)

select * from renamed
