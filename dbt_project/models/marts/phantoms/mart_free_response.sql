{%- set detected = ['model_id', 'inference_path', 'detector', 'reading'] -%}
with findings as (

    select * from {{ ref('int_free_response_findings') }}

),

free as (

    select * from {{ ref('int_free_response_limits') }}

),

areas as (

    select * from {{ ref('int_free_response_areas') }}

),

points as (

    select * from {{ ref('int_beta_points') }}

),

final as (

    select
        findings.{{ detected | join(', findings.') }},
        findings.kind,
        findings.contrast_dn,
        findings.false_positive_rate,
        findings.cluster_unit,
        findings.cluster_count,
        free.limit_score,
        free.image_count,
        free.tile_count,
        free.false_positive_count,
        cast(findings.evaluated_count as bigint) as drawn_count,
        cast(findings.flagged_count as bigint) as found_count,
        cast(findings.flagged_count as double) / findings.evaluated_count as sensitivity_ratio,
        {{ share_end('findings', 'lower_points', 'low') }} as sensitivity_low_ratio,
        {{ share_end('findings', 'upper_points', 'high') }} as sensitivity_high_ratio,
        round(areas.afroc_area, 9) as afroc_area
    from findings
    inner join free
        on findings.false_positive_rate = free.false_positive_rate
        {%- for column in detected %}
        and findings.{{ column }} = free.{{ column }}
        {%- endfor %}
    inner join areas
        on findings.kind = areas.kind
        and findings.contrast_dn is not distinct from areas.contrast_dn
        {%- for column in detected %}
        and findings.{{ column }} = areas.{{ column }}
        {%- endfor %}
    left join points as lower_points
        on {{ share_point('findings', 'lower_points', 'low') }}
    left join points as upper_points
        on {{ share_point('findings', 'upper_points', 'high') }}

)

select * from final
