with pairs as (

    select * from {{ ref('stg_raw__pairs') }}

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

),

final as (

    select
        pairs.model_id,
        pairs.model_id = parameters.baseline_model as is_baseline,
        bool_or(pairs.inference_path = 'tta' and pairs.status != 'not_declared') as has_tta,
        {{ is_control('pairs.model_id') }} as is_control,
        cast({{ declared_tile('pairs.model_id') }} as integer) as tile_px,
        count(*) filter (where pairs.inference_path = 'notta' and pairs.status = 'measured')
            as notta_image_count,
        count(*) filter (where pairs.inference_path = 'tta' and pairs.status = 'measured')
            as tta_image_count
    from pairs
    cross join parameters
    group by pairs.model_id, parameters.baseline_model

)

select * from final
