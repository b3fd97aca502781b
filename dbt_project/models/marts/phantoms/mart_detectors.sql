{%- set groups = injection_groups() + ['detector', 'reading'] -%}
with clusters as (

    select * from {{ ref('int_detector_clusters') }}

),

found as (

    select * from {{ ref('int_detector_limits') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

{{ roc_areas() }},

final as (

    select
        bounded.model_id,
        bounded.inference_path,
        bounded.arm,
        bounded.kind,
        bounded.signal_part,
        bounded.contrast_dn,
        bounded.detector,
        bounded.reading,
        bounded.cluster_unit,
        bounded.drawn_cluster_count as cluster_count,
        bounded.drawn_count,
        bounded.sham_count,
        {{ roc_columns('bounded') }},
        found.limit_score,
        found.found_count,
        cast(found.found_count as double) / bounded.drawn_count as sensitivity_ratio
    from bounded
    left join found
        {%- for column in groups %}
        {{ 'on' if loop.first else 'and' }} bounded.{{ column }}
            is not distinct from found.{{ column }}
        {%- endfor %}

)

select * from final
