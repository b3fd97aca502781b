with source as (

    select * from {{ source('raw', 'frozen_loadings') }}

),

renamed as (

    select
        'frozen' as basis_id,
        component,
        position,
        feature,
        loading,
        scale,
        feature_mean,
        weight,
        eigenvalue,
        eigenvalue_gap,
        is_identifiable,
        block_count
    from source

)

select * from renamed
