{#- Intervals of the mean block SSIM of each profiled ring, and of each side of the outermost.
    Series are columns, so that each draw is joined once. -#}
{%- set series = {} -%}
{%- for ring in range(constant('profiled_rings')) -%}
{%- do series.update({'all_' ~ ring: 'rings.ring = ' ~ ring}) -%}
{%- endfor -%}
{%- for side in frame_sides() -%}
{%- do series.update({side ~ '_0': "rings.frame_side = '" ~ side ~ "'"}) -%}
{%- endfor -%}
with rings as (

    select * from {{ ref('int_image_rings') }}

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
        rings.model_id,
        '{{ path }}' as inference_path,
        clusters.cluster_id
        {%- for name, condition in series.items() %},
        sum(rings.count_{{ path }}) filter (where {{ condition }}) as count_{{ name }},
        sum(rings.sum_{{ path }}) filter (where {{ condition }}) as sum_{{ name }}
        {%- endfor %}
    from rings
    inner join clusters on rings.image_id = clusters.image_id
    group by rings.model_id, clusters.cluster_id
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
        {%- for name in series %},
        cast(sum(draws.weight * clustered.sum_{{ name }}) as double)
        / nullif(sum(draws.weight * clustered.count_{{ name }}), 0) as mean_{{ name }}
        {%- endfor %}
    from clustered
    inner join draws on clustered.cluster_id = draws.cluster_id
    group by clustered.model_id, clustered.inference_path, draws.replicate

),

intervals as (

    select
        model_id,
        inference_path
        {%- for name in series %},
        quantile_cont(mean_{{ name }}, {{ interval_ends().low }}) as low_{{ name }},
        quantile_cont(mean_{{ name }}, {{ interval_ends().high }}) as high_{{ name }}
        {%- endfor %}
    from replicates
    group by model_id, inference_path

),

final as (

    {%- for name in series %}
    select
        model_id,
        inference_path,
        '{{ name.split('_')[0] }}' as frame_side,
        {{ name.split('_')[1] }} as distance_blocks,
        low_{{ name }} as mean_low,
        high_{{ name }} as mean_high
    from intervals
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from final
