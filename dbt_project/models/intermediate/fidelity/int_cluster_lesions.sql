{#- A patient's mean over its images of each image's mean inside, outside and their difference,
    from images that have both; and of how much more that is than in the baseline's notta image,
    which is not compared with itself. -#}
{%- set names = lesion_quantities('notta') | list -%}
with images as (

    select * from {{ ref('int_image_lesions') }}

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

regions as (

    {%- for path in inference_paths() %}
    {%- set last_path = loop.last %}
    {%- for name in names %}
    select
        model_id,
        '{{ path }}' as inference_path,
        '{{ name }}' as quantity,
        image_id,
        region,
        count_{{ name }}_{{ path }} as block_count,
        cast(sum_{{ name }}_{{ path }} as double)
        / nullif(count_{{ name }}_{{ path }}, 0) as mean
    from images
    {%- if not (loop.last and last_path) %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}

),

paired as (

    select
        inside.model_id,
        inside.inference_path,
        inside.quantity,
        inside.region as finding,
        inside.image_id,
        clusters.cluster_id,
        clusters.cluster_unit,
        inside.block_count as inside_block_count,
        outside.block_count as outside_block_count,
        inside.mean as inside_mean,
        outside.mean as outside_mean,
        inside.mean - outside.mean as difference
    from regions as inside
    inner join regions as outside
        on inside.model_id = outside.model_id
        and inside.inference_path = outside.inference_path
        and inside.quantity = outside.quantity
        and inside.image_id = outside.image_id
    inner join clusters on inside.image_id = clusters.image_id
    where inside.region is not null
        and outside.region is null
        and inside.mean is not null
        and outside.mean is not null

),

baselines as (

    select * from paired
    where model_id = (select baseline_model from parameters)
        and inference_path = 'notta'

),

compared as (

    select
        paired.*,
        paired.difference - baselines.difference as excess
    from paired
    left join baselines
        on paired.finding = baselines.finding
        and paired.quantity = baselines.quantity
        and paired.image_id = baselines.image_id
        and paired.model_id != baselines.model_id

),

final as (

    select
        model_id,
        inference_path,
        finding,
        quantity,
        cluster_id,
        cluster_unit,
        count(*) as image_count,
        sum(inside_block_count) as inside_block_count,
        sum(outside_block_count) as outside_block_count,
        {{ ordered_mean('inside_mean', 'image_id') }} as inside_mean,
        {{ ordered_mean('outside_mean', 'image_id') }} as outside_mean,
        {{ ordered_mean('difference', 'image_id') }} as difference,
        {{ ordered_mean('excess', 'image_id') }} as excess
    from compared
    group by model_id, inference_path, finding, quantity, cluster_id, cluster_unit

)

select * from final
