with source as (

    select * from {{ source('raw', 'hyra_networks') }}

),

renamed as (

    select
        model_id,
        step_dn,
        kind,
        weights_sha256,
        scale,
        base_dn,
        is_linear_part,
        radius_px,
        zero_crossing_px,
        zero_spacing_px,
        side_lobe,
        gain_min,
        gain_max,
        flat_shift_dn,
        flat_range_dn,
        position_spread,
        step_spread,
        tail_energy_ratio
    from source

)

select * from renamed
