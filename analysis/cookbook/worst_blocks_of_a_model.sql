-- The 20 most extreme blocks of a model, and the files to open.
-- Extreme: farthest along the axis, either way; mse_dn2_notta is the error itself, which may be
-- small there. left_px and top_px are where the block begins in the image. Change the model in the
-- first CTE.
-- One row per block.
with chosen as (

    select min(model_id) as model_id from dim_models

)

select
    blocks.model_id,
    images.file_name,
    8 * blocks.block_col as left_px,
    8 * blocks.block_row as top_px,
    blocks.pc1_notta,
    blocks.axis1_notta,
    blocks.polarity_notta,
    blocks.mse_dn2_notta,
    blocks.local_ssim_notta,
    blocks.d_sharp_notta,
    blocks.d_ring_notta,
    blocks.d_noise_notta,
    images.patient_id,
    images.finding_labels
from fct_blocks as blocks
inner join chosen on blocks.model_id = chosen.model_id
inner join dim_images as images on blocks.image_id = images.image_id
where blocks.pc1_notta is not null
order by abs(blocks.pc1_notta) desc, images.file_name, blocks.block_row, blocks.block_col
limit 20;
