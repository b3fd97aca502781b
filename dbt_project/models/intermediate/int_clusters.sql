{#- The unit that is resampled: the patient where the labels name one, else the image. -#}
with images as (

    select * from {{ ref('stg_raw__images') }}

),

labels as (

    select * from {{ ref('stg_raw__labels') }}

),

final as (

    select
        images.image_id,
        labels.patient_id,
        case when labels.patient_id is null then 'image' else 'patient' end as cluster_unit,
        case
            when labels.patient_id is null then 'image:' || images.image_id
            else 'patient:' || labels.patient_id
        end as cluster_id
    from images
    left join labels on images.image_id = labels.image_id

)

select * from final
