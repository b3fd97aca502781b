{#- How many independent sites would say as much of a flag's share of shams as those of the study's
    patients (macros/shares.sql). -#}
with scores as (

    select * from {{ ref('int_site_scores') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clustered as (

    select
        model_id,
        inference_path,
        kind,
        detector as flag,
        cluster_id,
        min(cluster_unit) as cluster_unit,
        count(*) as site_count,
        cast(sum(score) as bigint) as flagged_count
    from scores
    where
        arm = 'sham'
        and detector in ({{ quoted_list(judged_flags()) }})
    group by model_id, inference_path, kind, detector, cluster_id

),

summed as (

    select
        model_id,
        inference_path,
        kind,
        flag,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        {{ share_sums('site_count', 'flagged_count') }}
    from clustered
    group by model_id, inference_path, kind, flag

),

{{ sized_shares() }}

select * from final
