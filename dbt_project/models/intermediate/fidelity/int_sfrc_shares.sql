{#- How many patches disagree early, and how many independent patches would say as much
    (macros/shares.sql). -#}
{%- set keys = ['model_id', 'inference_path', 'patch_px', 'frc_threshold'] -%}
with patches as (

    select * from {{ ref('int_patches_judged') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clustered as (

    select
        {%- for key in keys %}
        patches.{{ key }},
        {%- endfor %}
        patches.lr_nyquist,
        clusters.cluster_id,
        clusters.cluster_unit,
        count(*) as patch_count,
        count(patches.ends_early) as evaluated_count,
        count(*) filter (where patches.ends_early) as flagged_count
    from patches
    inner join clusters on patches.image_id = clusters.image_id
    group by
        {%- for key in keys %} patches.{{ key }},{% endfor %}
        patches.lr_nyquist, clusters.cluster_id, clusters.cluster_unit

),

summed as (

    select
        {{ keys | join(', ') }},
        lr_nyquist,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        cast(sum(patch_count) as bigint) as patch_count,
        {{ share_sums('evaluated_count', 'flagged_count') }}
    from clustered
    group by {{ keys | join(', ') }}, lr_nyquist

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
        {{ effective_count('spread', 'of_patches', 'of_clusters') }} as effective_count
    from spread
    left join limits as of_patches on spread.evaluated_count - 1 = of_patches.df
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
