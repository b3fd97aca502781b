with source as (

    select * from {{ source('raw', 'frozen_limits') }}

),

renamed as (

    select
        model_id,
        tau,
        ssim_p90,
        mse_q75_dn2,
        pooled_block_count,
        block_count
    from source

)

select * from renamed
