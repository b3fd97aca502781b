with pairs as (

    select * from {{ ref('stg_raw__pairs') }}

),

final as (

    select
        model_id,
        bool_or(inference_path = 'tta' and status != 'not_declared') as has_tta,
        count(*) filter (where inference_path = 'notta' and status = 'measured')
            as notta_image_count,
        count(*) filter (where inference_path = 'tta' and status = 'measured') as tta_image_count
    from pairs
    group by model_id

)

select * from final
