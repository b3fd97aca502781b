{%- set key = limit_groups() -%}
with alarms as (

    select * from {{ ref('int_detector_alarms') }}

),

findings as (

    select * from {{ ref('int_detector_findings') }}

),

points as (

    select * from {{ ref('int_beta_points') }}

),

final as (

    select
        findings.{{ key | join(', findings.') }},
        findings.arm,
        findings.kind,
        findings.signal_part,
        findings.contrast_dn,
        alarms.cluster_unit,
        alarms.limit_score,
        alarms.cluster_count as sham_cluster_count,
        cast(alarms.evaluated_count as bigint) as sham_count,
        cast(alarms.flagged_count as bigint) as alarm_count,
        cast(alarms.flagged_count as double) / alarms.evaluated_count as false_alarm_ratio,
        {{ share_end('alarms', 'lowest_alarms', 'low') }} as false_alarm_low_ratio,
        {{ share_end('alarms', 'highest_alarms', 'high') }} as false_alarm_high_ratio,
        findings.cluster_count as drawn_cluster_count,
        cast(findings.evaluated_count as bigint) as drawn_count,
        cast(findings.flagged_count as bigint) as found_count,
        cast(findings.flagged_count as double) / findings.evaluated_count as sensitivity_ratio,
        {{ share_end('findings', 'lowest_found', 'low') }} as sensitivity_low_ratio,
        {{ share_end('findings', 'highest_found', 'high') }} as sensitivity_high_ratio
    from findings
    inner join alarms
        {%- for column in key %}
        {{ 'on' if loop.first else 'and' }} findings.{{ column }}
            is not distinct from alarms.{{ column }}
        {%- endfor %}
    left join points as lowest_alarms
        on {{ share_point('alarms', 'lowest_alarms', 'low') }}
    left join points as highest_alarms
        on {{ share_point('alarms', 'highest_alarms', 'high') }}
    left join points as lowest_found
        on {{ share_point('findings', 'lowest_found', 'low') }}
    left join points as highest_found
        on {{ share_point('findings', 'highest_found', 'high') }}

)

select * from final
