{#- The scores of every site, a row for each detector and reading. A copy is of its image's
    patient. -#}
with maxima as (

    select * from {{ ref('int_site_maxima') }}

),

composites as (

    select * from {{ ref('int_composite_maxima') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

listed as (

    select
        maxima.model_id,
        maxima.inference_path,
        maxima.image_id,
        maxima.site_number,
        maxima.arm,
        maxima.kind,
        maxima.signal_part,
        maxima.contrast_dn,
        clusters.cluster_id,
        clusters.cluster_unit,
        unnest({{ list_scores('maxima') }}) as item
    from maxima
    inner join clusters on maxima.source_image_id = clusters.image_id

),

final as (

    select
        model_id,
        inference_path,
        image_id,
        site_number,
        arm,
        kind,
        signal_part,
        contrast_dn,
        cluster_id,
        cluster_unit,
        item.detector as detector,
        item.reading as reading,
        item.score as score
    from listed
    where item.score is not null
    union all
    select
        composites.model_id,
        composites.inference_path,
        composites.image_id,
        composites.site_number,
        composites.arm,
        composites.kind,
        composites.signal_part,
        composites.contrast_dn,
        clusters.cluster_id,
        clusters.cluster_unit,
        composites.detector,
        composites.reading,
        composites.score
    from composites
    inner join clusters on composites.source_image_id = clusters.image_id
    where composites.score is not null

)

select * from final
