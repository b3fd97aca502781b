{#- Who is compared with whom: all models of a source and path together, as published, and each by
    itself. Fixed-point copies of the measures make the bootstrap's sums exact. -#}
with images as (

    select * from {{ ref('mart_lfv_images') }}

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

),

baselines as (

    select
        source_id,
        model_id,
        image_id,
        local_ssim_min,
        local_ssim_mean,
        is_frame
    from images
    where model_id = (select baseline_model from parameters)
        and inference_path in ('notta', 'unstated')

),

compared as (

    select
        images.*,
        case when images.source_id = 'images' then 'reference_texture_dn' else 'texture_complexity'
            end as texture_measure,
        case
            when images.source_id = 'images' then images.reference_texture_dn
            else images.texture_complexity
        end as texture,
        images.local_ssim_min - baselines.local_ssim_min as excess_min,
        images.local_ssim_mean - baselines.local_ssim_mean as excess_mean,
        cast(images.is_frame as integer) - cast(baselines.is_frame as integer) as excess_frame
    from images
    left join baselines
        on images.source_id = baselines.source_id
        and images.image_id = baselines.image_id
        and images.model_id != baselines.model_id

),

fixed as (

    select
        * exclude (is_lfv, is_lfv_in_model),
        is_lfv as is_lfv_in_source,
        is_lfv_in_model,
        cast(texture_complexity as decimal(18, 6)) as fixed_complexity,
        cast(texture as decimal(18, 6)) as fixed_texture,
        cast(local_ssim_min as {{ fixed() }}) as fixed_min,
        cast(local_ssim_mean as {{ fixed() }}) as fixed_mean,
        cast(normalized_distance as {{ fixed() }}) as fixed_distance,
        cast(excess_min as {{ fixed() }}) as fixed_excess_min,
        cast(excess_mean as {{ fixed() }}) as fixed_excess_mean
    from compared

),

final as (

    select
        'pooled' as population,
        'pooled' as group_id,
        is_lfv_in_source as is_lfv,
        * exclude (is_lfv_in_source, is_lfv_in_model)
    from fixed
    union all
    select
        'per_model' as population,
        model_id as group_id,
        is_lfv_in_model as is_lfv,
        * exclude (is_lfv_in_source, is_lfv_in_model)
    from fixed

)

select * from final
