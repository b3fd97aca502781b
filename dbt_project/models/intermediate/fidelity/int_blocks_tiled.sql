{{ config(materialized='view') }}

{#- How far a block lies from the nearest border of the tiles that tiled upscalers cut an image
    into, a multiple of tile_px from the top left. 0 touches it; NULL where no border lies in the
    image. -#}
with blocks as (

    select * from {{ ref('int_blocks_placed') }}

),

tiles as (

    select * from {{ ref('int_tiles') }}

),

placed as (

    select
        blocks.*,
        tiles.tile_px
        {%- for axis, side in {'row': 'height', 'col': 'width'}.items() %},
        -- Pixels to the last seam inside the image at or before the block's end, and to the
        -- first at or after its start; NULL where there is none, negative where it cuts the block.
        8 * blocks.block_{{ axis }} - tiles.tile_px * nullif(
            least(
                {{ divide_whole('8 * blocks.block_' ~ axis ~ ' + 8', 'tiles.tile_px') }},
                {{ divide_whole('blocks.' ~ side ~ '_px - 1', 'tiles.tile_px') }}
            ),
            0
        ) as {{ axis }}_seam_before_px,
        tiles.tile_px * nullif(
            greatest(
                {{ divide_whole(
                    '8 * blocks.block_' ~ axis ~ ' + tiles.tile_px - 1', 'tiles.tile_px'
                ) }},
                1
            ),
            {{ divide_whole('blocks.' ~ side ~ '_px - 1', 'tiles.tile_px') }} + 1
        ) - 8 * blocks.block_{{ axis }} - 8 as {{ axis }}_seam_after_px
        {%- endfor %}
    from blocks
    inner join tiles on blocks.model_id = tiles.model_id

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
        tile_px,
        frame_distance,
        case when seam_px > 0 then {{ divide_whole('seam_px + 7', 8) }} when seam_px <= 0 then 0 end
            as seam_distance,
        local_ssim_notta,
        local_ssim_tta
    from nearest

)

select * from final
