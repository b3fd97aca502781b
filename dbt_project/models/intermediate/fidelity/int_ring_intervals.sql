{#- Intervals of the mean block SSIM of each profiled ring, and of each side of the outermost.
    Series are columns, so that each draw is joined once. -#}
{%- set series = {} -%}
{%- for ring in range(constant('profiled_rings')) -%}
{%- do series.update({'all_' ~ ring: 'rings.ring = ' ~ ring}) -%}
{%- endfor -%}
{%- for side in frame_sides() -%}
{%- do series.update({side ~ '_0': "rings.frame_side = '" ~ side ~ "'"}) -%}
{%- endfor -%}
{%- set ratios = {} -%}
{%- for name in series -%}
{%- do ratios.update({'mean_' ~ name: ['sum_' ~ name, 'count_' ~ name]}) -%}
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

    {{ resampled(['model_id', 'inference_path'], ratios) }}

),

intervals as (

    select
        model_id,
        inference_path
        {%- for name in series %},
        {{ percentile_ends('mean_' ~ name, name) }}
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
        {{ name }}_low as mean_low,
        {{ name }}_high as mean_high
    from intervals
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from final
