with images as (

    select * from {{ ref('stg_raw__images') }}

),

files as (

    select * from {{ ref('stg_raw__source_files') }}

),

labels as (

    select * from {{ ref('stg_raw__labels') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

final as (

    select
        images.image_id,
        clusters.cluster_id,
        clusters.cluster_unit,
        coalesce(labels.patient_id, images.patient_id) as patient_id,
        labels.finding_labels,
        labels.follow_up,
        labels.age_years,
        labels.sex,
        labels.view_position,
        images.width_px,
        images.height_px,
        images.block_rows,
        images.block_cols,
        images.edge_low_dn,
        images.edge_high_dn,
        images.lr_rule_status,
        images.lr_detail,
        images.lr_rule,
        images.lr_scale,
        images.lr_px,
        images.lr_border_px,
        images.lr_clamped_px,
        images.lr_contradicted_px,
        images.lr_largest_dn,
        lr_files.file_name as lr_file_name,
        lr_files.file_sha256 as lr_file_sha256,
        files.file_name,
        files.file_sha256,
        files.pixel_sha256
    from images
    inner join clusters on images.image_id = clusters.image_id
    left join files on images.image_id = files.image_id and files.role = 'reference'
    left join files as lr_files
        on images.image_id = lr_files.image_id and lr_files.role = 'lr'
    left join labels on images.image_id = labels.image_id

)

select * from final
