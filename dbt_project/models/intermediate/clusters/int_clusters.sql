{#- The unit that is resampled: the patient that the labels name, else a DICOM reference, else a
    ChestX-ray8 name (patient, underscore, follow-up); without any the image. -#}
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

identified as (

    select
        images.image_id,
        coalesce(
            labels.patient_id,
            decoded.patient_id,
            cast(
                try_cast(regexp_extract(images.image_id, '^([0-9]{8})_[0-9]{3}$', 1) as integer)
                as varchar
            )
        ) as patient_id
    from images
    left join labels on images.image_id = labels.image_id
    left join decoded on images.image_id = decoded.image_id

),

final as (

    select
        image_id,
        patient_id,
        case when patient_id is null then 'image' else 'patient' end as cluster_unit,
        case
            when patient_id is null then 'image:' || image_id
            else 'patient:' || patient_id
        end as cluster_id
    from identified

)

select * from final
