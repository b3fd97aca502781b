-- What of each model's squared error does the LR image decide, and what does it leave open?
-- Blocks two or more from the frame, dn2 a pixel. Bent: the LR image says otherwise. Invented,
-- lost: detail that no LR image of this size can hold, so nothing but the reference tells.
with inner_blocks as (

    select fct_blocks.*
    from fct_blocks
    inner join dim_images on fct_blocks.image_id = dim_images.image_id
    where fct_blocks.block_row between 2 and dim_images.block_rows - 3
        and fct_blocks.block_col between 2 and dim_images.block_cols - 3

),

paths as (

    select
        model_id,
        'notta' as inference_path,
        mse_dn2_notta as mse_dn2,
        lr_bent_dn2_notta as bent_dn2,
        lr_invented_dn2_notta as invented_dn2,
        lr_lost_dn2_notta as lost_dn2,
        lr_contradicted_px_notta as contradicted_px
    from inner_blocks
    union all
    select
        model_id,
        'tta' as inference_path,
        mse_dn2_tta as mse_dn2,
        lr_bent_dn2_tta as bent_dn2,
        lr_invented_dn2_tta as invented_dn2,
        lr_lost_dn2_tta as lost_dn2,
        lr_contradicted_px_tta as contradicted_px
    from inner_blocks

)

select
    model_id,
    inference_path,
    round(avg(mse_dn2), 3) as mse_dn2,
    round(avg(bent_dn2), 3) as bent_dn2,
    round(avg(invented_dn2), 3) as invented_dn2,
    round(avg(lost_dn2), 3) as lost_dn2,
    round(100 * sum(bent_dn2) / sum(mse_dn2), 1) as bent_pct,
    round(100 * avg(cast(contradicted_px > 0 as integer)), 2) as contradicted_pct
from paths
where bent_dn2 is not null
group by model_id, inference_path
order by mse_dn2;
