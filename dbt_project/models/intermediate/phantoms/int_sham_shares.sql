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
        and detector in ({% for flag in judged_flags() %}'{{ flag }}'{{ ', ' if not loop.last }}
            {%- endfor %})
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

spread as (

    select
        *,
        {{ share_deviation() }} as deviation
    from summed

),

sized as (

    select
        spread.*,
        {{ effective_count('spread', 'of_units', 'of_clusters') }} as effective_count
    from spread
    left join limits as of_units on spread.evaluated_count - 1 = of_units.df
    left join limits as of_clusters on spread.cluster_count - 1 = of_clusters.df

),

final as (

    select
        *,
        cast(flagged_count as double) / nullif(evaluated_count, 0) * effective_count
            as effective_flagged
    from sized

)

select * from final
