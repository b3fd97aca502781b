with clusters as (

    select * from {{ ref('int_located_clusters') }}

),

located as (

    select
        model_id,
        inference_path,
        kind,
        contrast_dn,
        detector,
        reading,
        count(*) filter (where is_located) as located_count
    from {{ ref('int_located_scores') }}
    where arm = 'alone'
    group by model_id, inference_path, kind, contrast_dn, detector, reading

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

{{ roc_areas() }},

final as (

    select
        bounded.model_id,
        bounded.inference_path,
        bounded.kind,
        bounded.contrast_dn,
        bounded.detector,
        bounded.reading,
        bounded.cluster_unit,
        bounded.drawn_cluster_count as cluster_count,
        bounded.drawn_count as image_count,
        bounded.sham_count,
        located.located_count,
        cast(located.located_count as double) / bounded.drawn_count as located_ratio,
        {{ roc_columns('bounded') }}
    from bounded
    inner join located
        on bounded.model_id = located.model_id
        and bounded.inference_path = located.inference_path
        and bounded.kind = located.kind
        and bounded.contrast_dn is not distinct from located.contrast_dn
        and bounded.detector = located.detector
        and bounded.reading = located.reading

)

select * from final
