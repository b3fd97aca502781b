{#- Measured images have every worst block; published files have one where their location file
    lists the image. It lists LFV images only: without results beside it, all are. Where all blocks
    are equal the first stands for the worst, as published, and has no place that says anything:
    location_percentile and is_frame are NULL. What uniform
    placement would give comes from counting blocks of the grid. -#}
{%- set lfv = constant('lfv_pct') / 100 -%}
{%- set zone_pct = constant('boundary_pct') -%}
{%- set zone = zone_pct / 100 -%}
with minima as (

    select * from {{ ref('int_image_minima') }}

),

images as (

    select * from {{ ref('dim_images') }}

),

textures as (

    select * from {{ ref('int_image_textures') }}

),

quality as (

    select * from {{ ref('fct_image_quality') }}

),

locations as (

    select * from {{ ref('stg_raw__published_locations') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

measured as (

    select
        'images' as source_id,
        minima.model_id,
        minima.inference_path,
        minima.image_id,
        images.block_rows,
        images.block_cols,
        minima.min_row,
        minima.min_col,
        minima.has_worst,
        cast(minima.local_ssim_min as double) as local_ssim_min,
        minima.local_ssim_mean,
        quality.texture_complexity,
        textures.reference_texture_dn,
        false as is_listed_alone
    from minima
    inner join images on minima.image_id = images.image_id
    left join textures
        on minima.image_id = textures.image_id
        and minima.model_id = textures.model_id
    left join quality
        on quality.source_id = 'images'
        and minima.model_id = quality.model_id
        and minima.inference_path = quality.inference_path
        and minima.image_id = quality.image_id

),

published_quality as (

    select * from quality
    where source_id != 'images'

),

published as (

    select
        coalesce(published_quality.source_id, locations.label) as source_id,
        coalesce(published_quality.model_id, locations.model_id) as model_id,
        'unstated' as inference_path,
        coalesce(published_quality.image_id, locations.image_id) as image_id,
        locations.total_rows as block_rows,
        locations.total_cols as block_cols,
        locations.min_row,
        locations.min_col,
        locations.min_row is not null as has_worst,
        coalesce(published_quality.local_quality_min, locations.min_ssim_value) as local_ssim_min,
        published_quality.local_quality_mean as local_ssim_mean,
        published_quality.texture_complexity,
        cast(null as double) as reference_texture_dn,
        published_quality.source_id is null as is_listed_alone
    from published_quality
    full outer join locations
        on published_quality.source_id = locations.label
        and published_quality.model_id = locations.model_id
        and published_quality.image_id = locations.image_id

),

joined as (

    select * from measured
    union all
    select * from published

),

thresholds as (

    select
        source_id,
        inference_path,
        quantile_cont(local_ssim_min, {{ lfv }}) filter (where not is_listed_alone)
            as threshold
    from joined
    group by source_id, inference_path

),

model_thresholds as (

    select
        source_id,
        inference_path,
        model_id,
        quantile_cont(local_ssim_min, {{ lfv }}) filter (where not is_listed_alone)
            as threshold
    from joined
    group by source_id, inference_path, model_id

),

placed as (

    select
        *,
        {{ frame_distance('min_row', 'min_col', 'block_rows', 'block_cols') }} as distance_blocks,
        least(block_rows, block_cols) / cast(2 as double) as half_side,
        (least(block_rows, block_cols) - 1) // 2 as deepest
    from joined

),

final as (

    select
        placed.source_id,
        placed.model_id,
        placed.inference_path,
        placed.image_id,
        coalesce(clusters.cluster_id, 'image:' || placed.image_id) as cluster_id,
        coalesce(clusters.cluster_unit, 'image') as cluster_unit,
        placed.block_rows,
        placed.block_cols,
        placed.min_row,
        placed.min_col,
        placed.local_ssim_min,
        placed.local_ssim_mean,
        placed.texture_complexity,
        placed.reference_texture_dn,
        placed.distance_blocks,
        placed.distance_blocks / placed.half_side as normalized_distance,
        case
            when has_worst
                then 1 - (
                    {{ share_at_least('distance_blocks') }}
                    + {{ share_at_least('(distance_blocks + 1)') }}
                ) / 2
        end as location_percentile,
        -- Mean distance under uniform placement: the sum of P(distance >= d), in closed form.
        (
            deepest * block_rows * block_cols - (block_rows + block_cols) * deepest * (deepest + 1)
            + 2 * deepest * (deepest + 1) * (2 * deepest + 1) // 3
        ) / cast(block_rows * block_cols as double) / half_side as null_normalized_distance,
        1 - (floor({{ 1 - zone }} * block_rows) - ceil({{ zone }} * block_rows) + 1)
            * (floor({{ 1 - zone }} * block_cols) - ceil({{ zone }} * block_cols) + 1)
            / cast(block_rows * block_cols as double) as null_boundary_ratio,
        1 - (ceil({{ 1 - zone }} * block_rows) - ceil({{ zone }} * block_rows))
            * (ceil({{ 1 - zone }} * block_cols) - ceil({{ zone }} * block_cols))
            / cast(block_rows * block_cols as double) as null_boundary_mended_ratio,
        1 - {{ share_at_least('1') }} as null_frame_ratio,
        placed.is_listed_alone or placed.local_ssim_min < thresholds.threshold as is_lfv,
        placed.is_listed_alone
        or placed.local_ssim_min < model_thresholds.threshold as is_lfv_in_model,
        100 * min_row < {{ zone_pct }} * block_rows
        or 100 * min_row > {{ 100 - zone_pct }} * block_rows
        or 100 * min_col < {{ zone_pct }} * block_cols
        or 100 * min_col > {{ 100 - zone_pct }} * block_cols as is_boundary,
        100 * min_row < {{ zone_pct }} * block_rows
        or 100 * min_row >= {{ 100 - zone_pct }} * block_rows
        or 100 * min_col < {{ zone_pct }} * block_cols
        or 100 * min_col >= {{ 100 - zone_pct }} * block_cols as is_boundary_mended,
        case when has_worst then distance_blocks = 0 end as is_frame
    from placed
    left join clusters on placed.image_id = clusters.image_id
    left join thresholds
        on placed.source_id = thresholds.source_id
        and placed.inference_path = thresholds.inference_path
    left join model_thresholds
        on placed.source_id = model_thresholds.source_id
        and placed.inference_path = model_thresholds.inference_path
        and placed.model_id = model_thresholds.model_id

)

select * from final
