{#- The unit that is resampled: the patient that the labels name, else a DICOM reference, else a
    ChestX-ray8 name (patient, underscore, follow-up); without any the image. A copy that a phantom
    was drawn into is of the image that it is a copy of. -#}
with decoded as (

    select * from {{ ref('stg_raw__images') }}

),

images as (

    select image_id from decoded
    union
    select image_id from {{ ref('stg_raw__published_results') }}
    union
    select image_id from {{ ref('stg_raw__published_locations') }}

),

labels as (

    select * from {{ ref('stg_raw__labels') }}

),

injections as (

    select * from {{ ref('stg_raw__injections') }}

),

copies as (

    select
        image_id,
        min(source_image_id) as source_image_id
    from injections
    group by image_id

),

traced as (

    select
        images.image_id,
        coalesce(copies.source_image_id, images.image_id) as source_image_id
    from images
    left join copies on images.image_id = copies.image_id

),

identified as (

    select
        traced.image_id,
        traced.source_image_id,
        coalesce(
            labels.patient_id,
            decoded.patient_id,
            cast(
                try_cast(
                    regexp_extract(traced.source_image_id, '^([0-9]{8})_[0-9]{3}$', 1) as integer
                ) as varchar
            )
        ) as patient_id
    from traced
    left join labels on traced.source_image_id = labels.image_id
    left join decoded on traced.source_image_id = decoded.image_id

),

final as (

    select
        image_id,
        patient_id,
        case when patient_id is null then 'image' else 'patient' end as cluster_unit,
        case
            when patient_id is null then 'image:' || source_image_id
            else 'patient:' || patient_id
        end as cluster_id
    from identified

)

select * from final
