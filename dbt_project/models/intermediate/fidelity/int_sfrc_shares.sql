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

{{ sized_shares() }}

select * from final
