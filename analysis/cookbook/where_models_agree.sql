-- Which regions are extreme for every model? Blocks that are among each model's 10 % farthest from
-- the origin of the axis; what all models share points at the image, not at a model.
-- One row per image, the most shared first.
with limits as (

    select
        model_id,
        quantile_disc(abs(pc1_notta), 0.9) as far
    from fct_blocks
    group by model_id

),

blocks as (

    select
        image_id,
        block_row,
        block_col,
        bool_and(abs(fct_blocks.pc1_notta) >= limits.far) as is_far_for_all
    from fct_blocks
    inner join limits on fct_blocks.model_id = limits.model_id
    where fct_blocks.pc1_notta is not null
    group by image_id, block_row, block_col

)

select
    image_id,
    count(*) as block_count,
    count(*) filter (where is_far_for_all) as shared_count,
    100.0 * count(*) filter (where is_far_for_all) / count(*) as shared_pct
from blocks
group by image_id
order by shared_pct desc, image_id;
