{#- The scores of every site, a row for each detector and reading. A copy is of its image's
    patient. -#}
with maxima as (

    select * from {{ ref('int_site_maxima') }}

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
        maxima.component,
        maxima.contrast_dn,
        clusters.cluster_id,
        clusters.cluster_unit,
        unnest([
            {%- for name, detector in block_detectors('').items() %}
            {%- set is_last = loop.last %}
            {%- for reading in detector.readings %}
            {
                'detector': '{{ name }}',
                'reading': '{{ reading }}',
                'score': maxima.{{ name }}__{{ reading }}
            }{{ ',' if not (is_last and loop.last) }}
            {%- endfor %}
            {%- endfor %}
        ]) as item
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
        component,
        contrast_dn,
        cluster_id,
        cluster_unit,
        item.detector as detector,
        item.reading as reading,
        item.score as score
    from listed
    where item.score is not null

)

select * from final
