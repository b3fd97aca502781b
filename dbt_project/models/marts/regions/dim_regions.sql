with regions as (

    select * from {{ ref('stg_raw__regions') }}

),

final as (

    select
        cast(region_code as smallint) as region_code,
        region,
        region_code >= 2 as is_structure
    from regions

)

select * from final
