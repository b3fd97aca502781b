{#- Sums over the images whose LR image is known; a model and path that has none has no row. -#}
{%- set ratios = {'bent_ratio': ['bent_dn2', 'mse_dn2']} -%}
{%- for kind in lr_kinds('notta') -%}
{%- do ratios.update({kind ~ '_dn2': [kind ~ '_dn2', 'split_block_count']}) -%}
{%- endfor -%}
with images as (

    select * from {{ ref('int_image_consistency') }}

),

facts as (

    select * from {{ ref('stg_raw__images') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

draws as (

    select * from {{ ref('int_cluster_draws') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

shares as (

    select * from {{ ref('int_consistency_shares') }}

),

points as (

    select * from {{ ref('int_beta_points') }}

),

clustered as (

    select
        images.model_id,
        images.inference_path,
        clusters.cluster_id,
        clusters.cluster_unit,
        count(*) as image_count,
        sum(images.judged_block_count) as judged_block_count,
        sum(images.contradicted_block_count) as contradicted_block_count,
        sum(images.judged_px) as judged_px,
        sum(facts.lr_border_px) as border_px,
        sum(images.clamped_px) as clamped_px,
        sum(images.contradicted_px) as contradicted_px,
        max(images.residual_largest / cast(facts.lr_unit as double)) as largest_dn,
        sum(images.split_block_count) as split_block_count,
        sum(images.mse_dn2) as mse_dn2
        {%- for kind in lr_kinds('notta') %},
        sum(images.{{ kind }}_dn2) as {{ kind }}_dn2
        {%- endfor %},
        sum(cast(
            images.split_block_count * {{ null_share('facts.lr_scale') }} as decimal(18, 6)
        )) as null_blocks
    from images
    inner join facts on images.image_id = facts.image_id
    inner join clusters on images.image_id = clusters.image_id
    where images.judged_px is not null
    group by
        images.model_id, images.inference_path, clusters.cluster_id, clusters.cluster_unit

),

replicates as (

    {{ resampled(['model_id', 'inference_path'], ratios) }}

),

intervals as (

    select
        model_id,
        inference_path
        {%- for name in ratios %},
        {{ percentile_ends(name, name) }}
        {%- endfor %}
    from replicates
    group by model_id, inference_path

),

bounded as (

    select
        shares.model_id,
        shares.inference_path,
        shares.unit,
        {{ share_end('shares', 'lower_points', 'low') }} as low_ratio,
        {{ share_end('shares', 'upper_points', 'high') }} as high_ratio
    from shares
    left join points as lower_points
        on {{ share_point('shares', 'lower_points', 'low') }}
    left join points as upper_points
        on {{ share_point('shares', 'upper_points', 'high') }}

),

measured as (

    select
        model_id,
        inference_path,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(*) as cluster_count,
        cast(sum(image_count) as bigint) as image_count,
        cast(sum(judged_block_count) as bigint) as judged_block_count,
        cast(sum(contradicted_block_count) as bigint) as contradicted_block_count,
        cast(sum(judged_px) as bigint) as judged_px,
        cast(sum(border_px) as bigint) as border_px,
        cast(sum(clamped_px) as bigint) as clamped_px,
        cast(coalesce(sum(contradicted_px), 0) as bigint) as contradicted_px,
        max(largest_dn) as largest_dn,
        cast(sum(mse_dn2) as double) / sum(split_block_count) as mse_dn2
        {%- for kind in lr_kinds('notta') %},
        cast(sum({{ kind }}_dn2) as double) / sum(split_block_count) as {{ kind }}_dn2
        {%- endfor %},
        cast(sum(bent_dn2) as double) / nullif(cast(sum(mse_dn2) as double), 0) as bent_ratio,
        cast(sum(null_blocks) as double) / sum(split_block_count) * {{ rounding_variance() }}
            as rounding_floor_dn2
    from clustered
    group by model_id, inference_path

),

final as (

    select
        measured.model_id,
        measured.inference_path,
        measured.cluster_unit,
        measured.cluster_count,
        measured.image_count,
        measured.judged_block_count,
        measured.contradicted_block_count,
        cast(measured.contradicted_block_count as double)
        / nullif(measured.judged_block_count, 0) as contradicted_ratio,
        of_blocks.low_ratio as contradicted_low_ratio,
        of_blocks.high_ratio as contradicted_high_ratio,
        measured.judged_px,
        measured.border_px,
        measured.clamped_px,
        measured.contradicted_px,
        cast(measured.contradicted_px as double) / nullif(measured.judged_px, 0)
            as contradicted_px_ratio,
        of_pixels.low_ratio as contradicted_px_low_ratio,
        of_pixels.high_ratio as contradicted_px_high_ratio,
        measured.largest_dn,
        measured.mse_dn2
        {%- for kind in lr_kinds('notta') %},
        measured.{{ kind }}_dn2
        {%- for end in ['low', 'high'] %},
        {{ interval_end(
            'measured.' ~ kind ~ '_dn2', 'intervals.' ~ kind ~ '_dn2_' ~ end,
            'measured.cluster_count', 'limits', 0
        ) }} as {{ kind }}_dn2_{{ end }}
        {%- endfor %}
        {%- endfor %},
        measured.bent_ratio
        {%- for end in ['low', 'high'] %},
        {{ interval_end(
            'measured.bent_ratio', 'intervals.bent_ratio_' ~ end, 'measured.cluster_count',
            'limits', 0
        ) }} as bent_{{ end }}_ratio
        {%- endfor %},
        measured.rounding_floor_dn2
    from measured
    left join intervals
        on measured.model_id = intervals.model_id
        and measured.inference_path = intervals.inference_path
    left join bounded as of_blocks
        on measured.model_id = of_blocks.model_id
        and measured.inference_path = of_blocks.inference_path
        and of_blocks.unit = 'block'
    left join bounded as of_pixels
        on measured.model_id = of_pixels.model_id
        and measured.inference_path = of_pixels.inference_path
        and of_pixels.unit = 'px'
    left join limits on measured.cluster_count - 1 = limits.df

)

select * from final
