{#- What was drawn into restored images, in full, and lies beyond the limits of a free-response
    curve. -#}
{%- set detected = ['model_id', 'inference_path', 'detector', 'reading'] -%}
{%- set key = detected + ['kind', 'contrast_dn', 'false_positive_rate'] -%}
with scores as (

    select * from {{ ref('int_site_scores') }}
    where arm = 'auditor' and signal_part = 'full' and coalesce(contrast_dn, 1) > 0

),

free as (

    select * from {{ ref('int_free_response_limits') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clustered as (

    select
        scores.{{ detected | join(', scores.') }},
        scores.kind,
        scores.contrast_dn,
        free.false_positive_rate,
        scores.cluster_id,
        min(scores.cluster_unit) as cluster_unit,
        count(*) as drawn_count,
        count(*) filter (where scores.score > free.limit_score) as found_count
    from scores
    inner join free
        {%- for column in detected %}
        {{ 'on' if loop.first else 'and' }} scores.{{ column }} = free.{{ column }}
        {%- endfor %}
    group by
        scores.{{ detected | join(', scores.') }}, scores.kind, scores.contrast_dn,
        free.false_positive_rate, scores.cluster_id

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
