-- How far is each model from its LR image at the frame, and inside? Blocks by their distance from
-- the frame, 8 and more together. A network that pads badly stands out in the first rows.
with placed as (

    select
        fct_blocks.model_id,
        least(
            fct_blocks.block_row,
            dim_images.block_rows - 1 - fct_blocks.block_row,
            fct_blocks.block_col,
            dim_images.block_cols - 1 - fct_blocks.block_col
        ) as distance_blocks,
        fct_blocks.lr_rms_dn_notta,
        fct_blocks.lr_contradicted_px_notta,
        fct_blocks.lr_judged_px_notta
    from fct_blocks
    inner join dim_images on fct_blocks.image_id = dim_images.image_id
    where fct_blocks.lr_contradicted_px_notta is not null

)

select
    model_id,
    least(distance_blocks, 8) as distance_blocks,
    count(*) as block_count,
    round(avg(lr_rms_dn_notta), 3) as residual_dn,
    round(100.0 * sum(lr_contradicted_px_notta) / sum(lr_judged_px_notta), 2) as contradicted_pct
from placed
group by model_id, least(distance_blocks, 8)
order by model_id, distance_blocks;
