{{ config(materialized='view') }}

{#- How far a block lies from the nearest border of the tiles that tiled upscalers cut an image
    into, a multiple of tile_px from the top left, and phase_px beyond. 0 touches it; NULL where no
    border lies in the image. -#}
with blocks as (

    select * from {{ ref('int_blocks_placed') }}

),

tiles as (

    select * from {{ ref('int_tiles') }}

),

placed as (

    select
        blocks.*,
        tiles.tile_px,
        tiles.phase_px
        {%- for axis, side in {'row': 'height', 'col': 'width'}.items() %},
        -- Pixels to the last seam inside the image at or before the block's end, negative where it
        -- cuts the block, NULL where there is none; and where the first at or after its start is.
        8 * blocks.block_{{ axis }} - nullif(greatest(
            tiles.phase_px - tiles.tile_px + tiles.tile_px * (
                (
                    least(8 * blocks.block_{{ axis }} + 8, blocks.{{ side }}_px - 1)
                    - tiles.phase_px + tiles.tile_px
                ) // tiles.tile_px
            ),
            0
        ), 0) as {{ axis }}_seam_before_px,
        -- Pixel 0 is the frame and no seam.
        tiles.phase_px + tiles.tile_px * greatest(
            (8 * blocks.block_{{ axis }} - tiles.phase_px + tiles.tile_px - 1) // tiles.tile_px,
            case when tiles.phase_px = 0 then 1 else 0 end
        ) as {{ axis }}_seam_px
        {%- endfor %}
    from blocks
    inner join tiles on blocks.model_id = tiles.model_id

),

nearest as (

    select
        *,
        least(
            row_seam_before_px,
            case when row_seam_px < height_px then row_seam_px - 8 * block_row - 8 end,
            col_seam_before_px,
            case when col_seam_px < width_px then col_seam_px - 8 * block_col - 8 end
        ) as seam_px
    from placed

),

final as (

    select
        model_id,
        image_id,
        tile_px,
        phase_px,
        frame_distance,
        case when seam_px > 0 then (seam_px + 7) // 8 when seam_px <= 0 then 0 end
            as seam_distance,
        {%- for path in inference_paths() %}
        local_ssim_{{ path }},
        lr_judged_px_{{ path }},
        lr_contradicted_px_{{ path }},
        lr_rms_dn_{{ path }}{{ ',' if not loop.last }}
        {%- endfor %}
    from nearest

)

select * from final
