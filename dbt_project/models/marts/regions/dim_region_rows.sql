with region_rows as (

    select * from {{ ref('stg_raw__region_rows') }}

),

final as (

    select
        image_id,
        block_row,
        regions,
        covered
    from region_rows

)

select * from final
