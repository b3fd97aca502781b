{{ config(materialized='view') }}

{#- Where a block lies: its distance to the frame and to the nearest border of the tiles that
    tiled upscalers cut an image into, a multiple of tile_px from the top left. 0 touches it; NULL
    where the study declares no tile. -#}
{%- set tile = var('tile_px', none) -%}
with blocks as (

    select * from {{ ref('fct_blocks') }}
    {{ added_blocks() }}

),

images as (

    select * from {{ ref('dim_images') }}

),

placed as (

    select
        blocks.model_id,
        blocks.image_id,
        blocks.local_ssim_notta,
        blocks.local_ssim_tta,
        least(blocks.block_row, images.block_rows - 1 - blocks.block_row) as row_distance,
        least(blocks.block_col, images.block_cols - 1 - blocks.block_col) as col_distance,
        2 * blocks.block_row < images.block_rows as is_upper,
        2 * blocks.block_col < images.block_cols as is_left
        {%- for axis, side in {'row': 'height', 'col': 'width'}.items() %}
        {%- if tile is none %},
        cast(null as integer) as {{ axis }}_seam_before_px,
        cast(null as integer) as {{ axis }}_seam_after_px
        {%- else %},
        -- Pixels to the last seam inside the image at or before the block's end, and to the
        -- first at or after its start; NULL where there is none, negative where it cuts the block.
        8 * blocks.block_{{ axis }} - {{ tile }} * nullif(
            least(
                {{ divide_whole('8 * blocks.block_' ~ axis ~ ' + 8', tile) }},
                {{ divide_whole('images.' ~ side ~ '_px - 1', tile) }}
            ),
            0
        ) as {{ axis }}_seam_before_px,
        {{ tile }} * nullif(
            greatest(
                {{ divide_whole('8 * blocks.block_' ~ axis ~ ' + ' ~ (tile - 1), tile) }}, 1
            ),
            {{ divide_whole('images.' ~ side ~ '_px - 1', tile) }} + 1
        ) - 8 * blocks.block_{{ axis }} - 8 as {{ axis }}_seam_after_px
        {%- endif %}
        {%- endfor %}
    from blocks
    inner join images on blocks.image_id = images.image_id

),

nearest as (

    select
        *,
        least(
            row_seam_before_px, row_seam_after_px, col_seam_before_px, col_seam_after_px
        ) as seam_px
    from placed

),

final as (

    select
        model_id,
        image_id,
        least(row_distance, col_distance) as frame_distance,
        case
            when row_distance = col_distance then 'corner'
            when row_distance < col_distance and is_upper then 'top'
            when row_distance < col_distance then 'bottom'
            when is_left then 'left'
            else 'right'
        end as frame_side,
        case when seam_px > 0 then {{ divide_whole('seam_px + 7', 8) }} when seam_px <= 0 then 0 end
            as seam_distance,
        local_ssim_notta,
        local_ssim_tta
    from nearest

)

select * from final
