with estimates as (

    select * from {{ ref('int_area_estimates') }}
    where area_kind = 'region'

),

regions as (

    select * from {{ ref('dim_regions') }}

),

measured as (

    {{ area_measured('estimates') }}

),

final as (

    select
        measured.model_id,
        measured.inference_path,
        regions.region,
        measured.quantity,
        {{ area_items('measured') }}
    from measured
    inner join regions on measured.area_code = regions.region_code

)

select * from final
