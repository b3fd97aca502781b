{#- How many independent units would say as much of a share as those of the study's patients
    (macros/shares.sql): of blocks with a contradicted LR pixel, and of LR pixels themselves. -#}
with images as (

    select * from {{ ref('int_image_consistency') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clustered as (

    select
        images.model_id,
        images.inference_path,
        clusters.cluster_id,
        sum(images.judged_block_count) as judged_block_count,
        sum(images.contradicted_block_count) as contradicted_block_count,
        sum(coalesce(images.judged_px, 0)) as judged_px_count,
        sum(coalesce(images.contradicted_px, 0)) as contradicted_px_count
    from images
    inner join clusters on images.image_id = clusters.image_id
    group by images.model_id, images.inference_path, clusters.cluster_id

),

summed as (

    {%- for unit in ['block', 'px'] %}
    select
        model_id,
        inference_path,
        '{{ unit }}' as unit,
        {{ share_sums('judged_' ~ unit ~ '_count', 'contradicted_' ~ unit ~ '_count') }}
    from clustered
    group by model_id, inference_path
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

{{ sized_shares() }}

select * from final
