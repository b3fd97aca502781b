-- The 20 most extreme blocks of a model, and the files to open.
-- Extreme: farthest along the axis, either way; mse_dn2_notta is the error itself, which may be
-- small there. left_px, top_px, width_px and height_px are the block in the image. Change the model
-- in the first CTE. Blocks are chosen before their places are read, which are computed.
-- One row per block.
with chosen as (

    select min(model_id) as model_id from dim_models

),

worst as (

    select blocks.*
    from fct_blocks as blocks
    inner join chosen on blocks.model_id = chosen.model_id
    where blocks.pc1_notta is not null
    order by abs(blocks.pc1_notta) desc, blocks.image_id, blocks.block_row, blocks.block_col
    limit 20

)

select
    worst.model_id,
    images.file_name,
    places.left_px,
    places.top_px,
    places.width_px,
    places.height_px,
    places.region,
    worst.pc1_notta,
    worst.axis1_notta,
    worst.polarity_notta,
    worst.mse_dn2_notta,
    worst.local_ssim_notta,
    worst.d_sharp_notta,
    worst.d_ring_notta,
    worst.d_noise_notta,
    images.patient_id,
    images.finding_labels
from worst
inner join dim_images as images on worst.image_id = images.image_id
inner join dim_blocks as places
    on worst.image_id = places.image_id
    and worst.block_row = places.block_row
    and worst.block_col = places.block_col
order by abs(worst.pc1_notta) desc, worst.image_id, worst.block_row, worst.block_col;
