{#- The limits of a detector, one whatever is looked for, and the shams beyond each. A sham's score
    is the most that any block of it says in which any kind would be drawn, so that a limit's rate
    of false alarms holds for the largest kind and is less for smaller ones. A flag has its own
    limit beside them: raised. A level needs as many shams that one of them is no more. -#}
{%- set detected = ['model_id', 'inference_path', 'detector', 'reading'] -%}
{%- set key = limit_groups() -%}
with scores as (

    select * from {{ ref('int_site_scores') }}
    where arm = 'sham'

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

shams as (

    select
        {{ detected | join(', ') }},
        image_id,
        site_number,
        cluster_id,
        cluster_unit,
        max(score) as score
    from scores
    group by {{ detected | join(', ') }}, image_id, site_number, cluster_id, cluster_unit

),

gathered as (

    select
        {{ detected | join(', ') }},
        list_sort(list(score)) as scores,
        cast(count(*) as bigint) as sham_count
    from shams
    group by {{ detected | join(', ') }}

),

levels as (

    select unnest([{{ false_alarm_levels() | join(', ') }}]) as level

),

bounds as (

    select
        gathered.{{ detected | join(', gathered.') }},
        cast(levels.level as double) / 1000 as level_ratio,
        gathered.scores[
            cast(((1000 - levels.level) * gathered.sham_count + 999) // 1000 as bigint)
        ] as limit_score
    from gathered
    cross join levels
    where gathered.sham_count * levels.level >= 1000
    union all
    select
        {{ detected | join(', ') }},
        cast(null as double) as level_ratio,
        0 as limit_score
    from gathered
    where detector in ({{ quoted_list(judged_flags()) }})

),

clustered as (

    select
        bounds.{{ key | join(', bounds.') }},
        bounds.limit_score,
        shams.cluster_id,
        min(shams.cluster_unit) as cluster_unit,
        count(*) as sham_count,
        count(*) filter (where shams.score > bounds.limit_score) as alarm_count
    from bounds
    inner join shams
        {%- for column in detected %}
        {{ 'on' if loop.first else 'and' }} bounds.{{ column }} = shams.{{ column }}
        {%- endfor %}
    group by bounds.{{ key | join(', bounds.') }}, bounds.limit_score, shams.cluster_id

),

summed as (

    select
        {{ key | join(', ') }},
        limit_score,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        {{ share_sums('sham_count', 'alarm_count') }}
    from clustered
    group by {{ key | join(', ') }}, limit_score

),

{{ sized_shares() }}

select * from final
