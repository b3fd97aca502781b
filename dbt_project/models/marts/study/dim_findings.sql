with images as (

    select * from {{ ref('dim_images') }}
    where finding_labels is not null

),

named as (

    select
        image_id,
        cluster_id,
        unnest(string_split(finding_labels, '|')) as finding
    from images

),

final as (

    select
        image_id,
        trim(finding) as finding,
        min(cluster_id) as cluster_id
    from named
    where trim(finding) <> ''
    group by image_id, trim(finding)

)

select * from final
