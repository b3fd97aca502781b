{{ config(materialized='view') }}

{#- Where a block lies: its distance to the frame, 0 on it. -#}
with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    {{ added_blocks() }}

),

images as (

    select * from {{ ref('dim_images') }}

),

placed as (

    select
        blocks.model_id,
        blocks.image_id,
        blocks.block_row,
        blocks.block_col,
        images.height_px,
        images.width_px,
        {%- for path in inference_paths() %}
        blocks.local_ssim_{{ path }},
        blocks.lr_judged_px_{{ path }},
        blocks.lr_contradicted_px_{{ path }},
        blocks.lr_rms_dn_{{ path }},
        {%- endfor %}
        least(blocks.block_row, images.block_rows - 1 - blocks.block_row) as row_distance,
        least(blocks.block_col, images.block_cols - 1 - blocks.block_col) as col_distance,
        2 * blocks.block_row < images.block_rows as is_upper,
        2 * blocks.block_col < images.block_cols as is_left
    from blocks
    inner join images on blocks.image_id = images.image_id

),

final as (

    select
        model_id,
        image_id,
        block_row,
        block_col,
        height_px,
        width_px,
        least(row_distance, col_distance) as frame_distance,
        case
            when row_distance = col_distance then 'corner'
            when row_distance < col_distance and is_upper then 'top'
            when row_distance < col_distance then 'bottom'
            when is_left then 'left'
            else 'right'
        end as frame_side,
        {%- for path in inference_paths() %}
        local_ssim_{{ path }},
        lr_judged_px_{{ path }},
        lr_contradicted_px_{{ path }},
        lr_rms_dn_{{ path }}{{ ',' if not loop.last }}
        {%- endfor %}
    from placed

)

select * from final
