{#- Everything that models are compared by, from images' sums: a column each, since the same cost in
    rows would be fifty times as many. -#}
{%- set keys = ['source_id', 'model_id', 'inference_path', 'image_id'] -%}
{%- set metrics = published_metrics() + companion_metrics() -%}
with sums as (

    select * from {{ ref('int_image_blocks') }}

),

minima as (

    select * from {{ ref('int_image_minima') }}

),

ledgers as (

    select * from {{ ref('int_image_ledgers') }}

),

consistency as (

    select * from {{ ref('int_image_consistency') }}

),

quality as (

    select * from {{ ref('fct_image_quality') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

-- The scales of a block, whose parts add up to its squared error: as in fct_blocks.
errors as (

    select
        model_id,
        image_id,
        inference_path,
        4096 * cast(max(pixel_count) as double) as unit,
        sum(error) + sum(shifted) as mse_dn2,
        sum(invented) as invented_dn2,
        sum(error - invented - exaggerated) as lost_dn2,
        sum(exaggerated) as exaggerated_dn2,
        sum(shifted) as shifted_dn2
    from ledgers
    where scale_px <= {{ block_scales() | max }}
    group by model_id, image_id, inference_path

),

-- Means over the blocks that an LR image says something of.
held as (

    select
        model_id,
        inference_path,
        image_id,
        cast(contradicted_block_count as double) / nullif(judged_block_count, 0)
            as lr_contradicted_ratio,
        cast(rms_dn as double) / nullif(judged_block_count, 0) as lr_rms_dn
        {%- for kind in lr_kinds('notta') %},
        cast({{ kind }}_dn2 as double) / nullif(split_block_count, 0) as lr_{{ kind }}_dn2
        {%- endfor %},
        cast(null_correlation as double) / nullif(correlated_block_count, 0) as null_correlation
    from consistency

),

summed as (

    {%- for path in inference_paths() %}
    select
        'images' as source_id,
        model_id,
        '{{ path }}' as inference_path,
        image_id
        {%- for name in summed_quantities() %},
        cast(sum_{{ name }}_{{ path }} as double) / nullif(count_{{ name }}_{{ path }}, 0)
            as {{ name }}
        {%- endfor %}
    from sums
    where measured_{{ path }} > 0
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

blocks as (

    select
        summed.*,
        minima.local_ssim_mean as local_ssim
        {%- for name in block_quantities() if name in lr_quantities() %},
        held.{{ name }}
        {%- endfor %}
        {%- for name in block_quantities()
            if name.endswith('_dn2') and name not in lr_quantities() %},
        cast(errors.{{ name }} as double) / errors.unit as {{ name }}
        {%- endfor %}
    from summed
    left join minima
        on summed.model_id = minima.model_id
        and summed.inference_path = minima.inference_path
        and summed.image_id = minima.image_id
    left join errors
        on summed.model_id = errors.model_id
        and summed.inference_path = errors.inference_path
        and summed.image_id = errors.image_id
    left join held
        on summed.model_id = held.model_id
        and summed.inference_path = held.inference_path
        and summed.image_id = held.image_id

),

joined as (

    select
        {%- for key in keys %}
        coalesce(blocks.{{ key }}, quality.{{ key }}) as {{ key }},
        {%- endfor %}
        {%- for name in compared_quantities() %}
        {{ image_value(('quality.' if name in metrics else 'blocks.') ~ name) }} as {{ name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from blocks
    full outer join quality
        {%- for key in keys %}
        {{ 'on' if loop.first else 'and' }} blocks.{{ key }} = quality.{{ key }}
        {%- endfor %}

),

final as (

    select
        joined.*,
        clusters.cluster_id,
        clusters.cluster_unit
    from joined
    inner join clusters on joined.image_id = clusters.image_id

)

select * from final
