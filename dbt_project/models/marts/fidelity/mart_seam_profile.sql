{#- Block SSIM step by step towards a seam: each distance against blocks 8 px farther, which lie in
    the same rows (or columns) of the same tiles and show the same content; and how much more that
    is than in the baseline's notta image, which is not compared with itself. -#}
{%- set reach = constant('seam_reach') -%}
{%- set steps = range(reach) | list -%}
{%- set kinds = ['own', 'paired', 'base'] -%}
{%- set ratios = {} -%}
{%- for kind in kinds -%}
{%- for distance in range(reach + 1) -%}
{%- set own = kind ~ '_' ~ distance -%}
{%- do ratios.update({'mean_' ~ own: ['sum_' ~ own, 'count_' ~ own]}) -%}
{%- endfor -%}
{%- endfor -%}
with measured as (

    select * from {{ ref('int_image_seams') }}
    where phase_px = 0

),

models as (

    select * from {{ ref('dim_models') }}

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

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

-- The baseline is measured at every model's tiles, and compared at each.
seams as (

    select measured.*
    from measured
    inner join models
        on measured.model_id = models.model_id
        and measured.tile_px = models.tile_px

),

baselines as (

    select * from measured
    where model_id = (select baseline_model from parameters)
        and count_notta > 0

),

compared as (

    {%- for path in inference_paths() %}
    select
        seams.model_id,
        '{{ path }}' as inference_path,
        seams.image_id,
        seams.seam_distance,
        seams.count_{{ path }} as count_own,
        seams.sum_{{ path }} as sum_own,
        case when baselines.count_notta > 0 then seams.count_{{ path }} end as count_paired,
        case when baselines.count_notta > 0 then seams.sum_{{ path }} end as sum_paired,
        case when seams.count_{{ path }} > 0 then baselines.count_notta end as count_base,
        case when seams.count_{{ path }} > 0 then baselines.sum_notta end as sum_base
    from seams
    left join baselines
        on seams.image_id = baselines.image_id
        and seams.tile_px = baselines.tile_px
        and seams.seam_distance = baselines.seam_distance
        and seams.model_id != baselines.model_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

clustered as (

    select
        compared.model_id,
        compared.inference_path,
        clusters.cluster_id,
        clusters.cluster_unit
        {%- for kind in kinds %}
        {%- for distance in range(reach + 1) %},
        sum(compared.count_{{ kind }}) filter (where compared.seam_distance = {{ distance }})
            as count_{{ kind }}_{{ distance }},
        sum(compared.sum_{{ kind }}) filter (where compared.seam_distance = {{ distance }})
            as sum_{{ kind }}_{{ distance }}
        {%- endfor %}
        {%- endfor %}
    from compared
    inner join clusters on compared.image_id = clusters.image_id
    group by
        compared.model_id, compared.inference_path, clusters.cluster_id, clusters.cluster_unit

),

replicates as (

    {{ resampled(['model_id', 'inference_path'], ratios) }}

),

resampled as (

    select
        model_id,
        inference_path
        {%- for distance in steps %},
        mean_own_{{ distance }} - mean_own_{{ distance + 1 }} as difference_{{ distance }},
        mean_paired_{{ distance }} - mean_paired_{{ distance + 1 }}
        - (mean_base_{{ distance }} - mean_base_{{ distance + 1 }}) as excess_{{ distance }}
        {%- endfor %}
    from replicates

),

intervals as (

    {%- for distance in steps %}
    select
        model_id,
        inference_path,
        {{ distance }} as distance_blocks
        {%- for name in ['difference', 'excess'] %},
        {{ percentile_ends(name ~ '_' ~ distance, name) }}
        {%- endfor %}
    from resampled
    group by model_id, inference_path
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

summed as (

    select
        model_id,
        inference_path,
        {{ cluster_unit('cluster_unit') }} as cluster_unit
        {%- for kind in kinds %}
        {%- for distance in range(reach + 1) %},
        cast(coalesce(sum(count_{{ kind }}_{{ distance }}), 0) as bigint)
            as count_{{ kind }}_{{ distance }},
        cast(sum(sum_{{ kind }}_{{ distance }}) as double)
        / nullif(sum(count_{{ kind }}_{{ distance }}), 0) as mean_{{ kind }}_{{ distance }}
        {%- endfor %}
        {%- for distance in steps %},
        count(*) filter (
            where count_{{ kind }}_{{ distance }} > 0 and count_{{ kind }}_{{ distance + 1 }} > 0
        ) as clusters_{{ kind }}_{{ distance }}
        {%- endfor %}
        {%- endfor %}
    from clustered
    group by model_id, inference_path

),

estimated as (

    {%- for distance in range(reach + 1) %}
    {%- set is_last = loop.last %}
    select
        model_id,
        inference_path,
        {{ distance }} as distance_blocks,
        case when count_own_{{ distance }} > 0 then cluster_unit end as cluster_unit,
        {{ 'cast(0 as bigint)' if is_last else 'clusters_own_' ~ distance }} as cluster_count,
        count_own_{{ distance }} as block_count,
        mean_own_{{ distance }} as mean_local_ssim,
        {{ 'cast(0 as bigint)' if is_last else 'clusters_base_' ~ distance }}
            as excess_cluster_count,
        {%- if is_last %}
        cast(null as double) as difference,
        cast(null as double) as excess
        {%- else %}
        mean_own_{{ distance }} - mean_own_{{ distance + 1 }} as difference,
        mean_paired_{{ distance }} - mean_paired_{{ distance + 1 }}
        - (mean_base_{{ distance }} - mean_base_{{ distance + 1 }}) as excess
        {%- endif %}
    from summed
    {%- if not is_last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        estimated.model_id,
        estimated.inference_path,
        estimated.distance_blocks,
        models.tile_px,
        estimated.cluster_unit,
        estimated.cluster_count,
        estimated.block_count,
        estimated.mean_local_ssim,
        estimated.difference,
        {%- for end in ['low', 'high'] %}
        {{ interval_end(
            'estimated.difference', 'intervals.difference_' ~ end, 'estimated.cluster_count',
            'limits', -2, 2
        ) }} as difference_{{ end }},
        {%- endfor %}
        estimated.excess_cluster_count,
        estimated.excess,
        {%- for end in ['low', 'high'] %}
        {{ interval_end(
            'estimated.excess', 'intervals.excess_' ~ end, 'estimated.excess_cluster_count',
            'excess_limits', -4, 4
        ) }} as excess_{{ end }}{{ ',' if not loop.last }}
        {%- endfor %}
    from estimated
    inner join models on estimated.model_id = models.model_id
    left join intervals
        on estimated.model_id = intervals.model_id
        and estimated.inference_path = intervals.inference_path
        and estimated.distance_blocks = intervals.distance_blocks
    left join limits on estimated.cluster_count - 1 = limits.df
    left join limits as excess_limits on estimated.excess_cluster_count - 1 = excess_limits.df

)

select * from final
