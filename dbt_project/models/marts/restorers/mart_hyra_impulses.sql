with impulses as (

    select * from {{ ref('stg_raw__hyra_impulses') }}

),

final as (

    select
        model_id,
        step_dn,
        row_offset_px,
        col_offset_px,
        response
    from impulses

)

select * from final
