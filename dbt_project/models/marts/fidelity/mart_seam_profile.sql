{%- set distances = range(seam_reach() + 1) | list -%}
with seams as (

    select * from {{ ref('int_image_seams') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

draws as (

    select * from {{ ref('int_cluster_draws') }}

),

clustered as (

    {%- for path in inference_paths() %}
    select
        seams.model_id,
        '{{ path }}' as inference_path,
        clusters.cluster_id,
        clusters.cluster_unit
        {%- for distance in distances %},
        sum(seams.count_{{ path }}) filter (where seams.seam_distance = {{ distance }})
            as count_{{ distance }},
        sum(seams.sum_{{ path }}) filter (where seams.seam_distance = {{ distance }})
            as sum_{{ distance }}
        {%- endfor %}
    from seams
    inner join clusters on seams.image_id = clusters.image_id
    group by seams.model_id, clusters.cluster_id, clusters.cluster_unit
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

replicates as (

    select
        clustered.model_id,
        clustered.inference_path,
        draws.replicate
        {%- for distance in distances %},
        cast(sum(draws.weight * clustered.sum_{{ distance }}) as double)
        / nullif(sum(draws.weight * clustered.count_{{ distance }}), 0) as mean_{{ distance }}
        {%- endfor %}
    from clustered
    inner join draws on clustered.cluster_id = draws.cluster_id
    group by clustered.model_id, clustered.inference_path, draws.replicate

),

intervals as (

    {%- for distance in distances %}
    select
        model_id,
        inference_path,
        {{ distance }} as distance_blocks,
        quantile_cont(mean_{{ distance }} - mean_{{ seam_reach() }}, 0.025) as difference_low,
        quantile_cont(mean_{{ distance }} - mean_{{ seam_reach() }}, 0.975) as difference_high
    from replicates
    group by model_id, inference_path
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

measured as (

    {%- for distance in distances %}
    select
        model_id,
        inference_path,
        {{ distance }} as distance_blocks,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(*) filter (where count_{{ distance }} > 0 and count_{{ seam_reach() }} > 0)
            as cluster_count,
        cast(coalesce(sum(count_{{ distance }}), 0) as bigint) as block_count,
        cast(sum(sum_{{ distance }}) as double) / nullif(sum(count_{{ distance }}), 0)
            as mean_local_ssim,
        cast(sum(sum_{{ seam_reach() }}) as double) / nullif(sum(count_{{ seam_reach() }}), 0)
            as mean_elsewhere
    from clustered
    group by model_id, inference_path
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        measured.model_id,
        measured.inference_path,
        measured.distance_blocks,
        case when measured.block_count > 0 then measured.cluster_unit end as cluster_unit,
        measured.cluster_count,
        measured.block_count,
        measured.mean_local_ssim,
        measured.mean_local_ssim - measured.mean_elsewhere as difference,
        {{ interval_end(
            '(measured.mean_local_ssim - measured.mean_elsewhere)',
            'intervals.difference_low', 'measured.cluster_count', 'limits', -2, 2
        ) }} as difference_low,
        {{ interval_end(
            '(measured.mean_local_ssim - measured.mean_elsewhere)',
            'intervals.difference_high', 'measured.cluster_count', 'limits', -2, 2
        ) }} as difference_high
    from measured
    left join intervals
        on measured.model_id = intervals.model_id
        and measured.inference_path = intervals.inference_path
        and measured.distance_blocks = intervals.distance_blocks
    left join limits on measured.cluster_count - 1 = limits.df

)

select * from final
