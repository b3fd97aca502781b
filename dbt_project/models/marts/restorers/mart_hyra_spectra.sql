with spectra as (

    select * from {{ ref('stg_raw__hyra_spectra') }}

),

final as (

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
    from spectra

)

select * from final
