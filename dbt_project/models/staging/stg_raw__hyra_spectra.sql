with source as (

    select * from {{ source('raw', 'hyra_spectra') }}

),

renamed as (

    select
        model_id,
        image_id,
        ring_number,
        frequency,
        reference_power,
        restored_power,
        linear_power,
        nonlin_power,
        best_nonlin_power
    from source

)

select * from renamed
