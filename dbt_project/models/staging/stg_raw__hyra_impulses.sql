with source as (

    select * from {{ source('raw', 'hyra_impulses') }}

),

renamed as (

    select
        model_id,
        step_dn,
        row_offset_px,
        col_offset_px,
        response
    from source

)

select * from renamed
