{#- What a detector finds beyond each of its limits, of places where something was drawn, in the
    blocks of what was drawn. -#}
{%- set drawn = ['arm', 'kind', 'signal_part', 'contrast_dn'] -%}
{%- set key = limit_groups() + drawn -%}
with scores as (

    select * from {{ ref('int_site_scores') }}
    where arm != 'sham' and coalesce(contrast_dn, 1) > 0

),

alarms as (

    select * from {{ ref('int_detector_alarms') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clustered as (

    select
        alarms.{{ limit_groups() | join(', alarms.') }},
        scores.{{ drawn | join(', scores.') }},
        scores.cluster_id,
        min(scores.cluster_unit) as cluster_unit,
        count(*) as drawn_count,
        count(*) filter (where scores.score > alarms.limit_score) as found_count
    from scores
    inner join alarms
        on scores.model_id = alarms.model_id
        and scores.inference_path = alarms.inference_path
        and scores.detector = alarms.detector
        and scores.reading = alarms.reading
    group by
        alarms.{{ limit_groups() | join(', alarms.') }},
        scores.{{ drawn | join(', scores.') }},
        scores.cluster_id

),

summed as (

    select
        {{ key | join(', ') }},
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        {{ share_sums('drawn_count', 'found_count') }}
    from clustered
    group by {{ key | join(', ') }}

),

{{ sized_shares() }}

select * from final
