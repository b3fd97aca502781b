{#- Readings beside what the labels say of the image, and whether the file that was read is still
    the study's: an LR image that the stated rule makes of the reference is of the reference's file.
    An image that the label file does not list has no label: neither yes nor no. -#}
with readings as (

    select * from {{ ref('stg_raw__readings') }}

),

files as (

    select * from {{ ref('stg_raw__source_files') }}

),

images as (

    select * from {{ ref('dim_images') }}

),

findings as (

    select * from {{ ref('dim_findings') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

final as (

    select
        readings.{{ reading_keys() | join(',\n        readings.') }},
        clusters.cluster_id,
        clusters.cluster_unit,
        readings.score,
        case when images.finding_labels is not null then findings.finding is not null end
            as has_finding,
        readings.file_sha256 = coalesce(
            files.file_sha256, case when readings.subject = 'lr' then made_of.file_sha256 end
        ) as is_current,
        readings.file_sha256
    from readings
    left join files
        on readings.subject = files.role
        and readings.image_id = files.image_id
        and readings.model_id is not distinct from files.model_id
        and readings.inference_path is not distinct from files.inference_path
    left join files as made_of
        on made_of.role = 'reference'
        and readings.image_id = made_of.image_id
    left join images on readings.image_id = images.image_id
    left join findings
        on readings.image_id = findings.image_id
        and readings.finding = findings.finding
    left join clusters on readings.image_id = clusters.image_id

)

select * from final
