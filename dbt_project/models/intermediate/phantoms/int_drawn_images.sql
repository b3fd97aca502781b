{#- Copies with one condition, and beside each kind the images into which nothing was drawn. -#}
with injections as (

    select * from {{ ref('stg_raw__injections') }}

),

drawn as (

    select
        image_id,
        source_image_id,
        model_id,
        inference_path,
        arm,
        kind,
        contrast_dn
    from injections
    where arm in ({{ quoted_list(image_arms()) }})
    group by
        image_id, source_image_id, model_id, inference_path, arm, kind, contrast_dn
    having sum(energy_dn2) > 0

),

kinds as (

    select
        model_id,
        inference_path,
        kind
    from drawn
    group by model_id, inference_path, kind

),

shams as (

    select
        image_id,
        source_image_id,
        model_id,
        inference_path
    from injections
    where arm = 'sham'
    group by image_id, source_image_id, model_id, inference_path

),

final as (

    select
        image_id,
        source_image_id,
        model_id,
        inference_path,
        arm,
        kind,
        contrast_dn
    from drawn
    union all
    select
        shams.image_id,
        shams.source_image_id,
        shams.model_id,
        shams.inference_path,
        'sham' as arm,
        kinds.kind,
        0 as contrast_dn
    from shams
    inner join kinds
        on shams.model_id = kinds.model_id
        and shams.inference_path = kinds.inference_path

)

select * from final
