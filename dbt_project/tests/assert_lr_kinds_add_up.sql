-- What is bent, invented, lost and amplified is the squared error of an image, if all of it lies in
-- whole blocks: the projector is orthogonal over the image, not block by block (definitions E.9).
with sums as (

    select * from {{ ref('int_image_consistency') }}

),

images as (

    select * from {{ ref('stg_raw__images') }}

)

select
    sums.model_id,
    sums.image_id,
    sums.inference_path
from sums
inner join images on sums.image_id = images.image_id
where sums.split_block_count > 0
    and images.width_px % 8 = 0
    and images.height_px % 8 = 0
    and not abs(
        cast(sums.bent_dn2 + sums.invented_dn2 + sums.lost_dn2 + sums.amplified_dn2 as double)
        - cast(sums.mse_dn2 as double)
        -- Each block's parts are of energies in float32, and have six decimals.
    ) <= 0.000001 * cast(sums.mse_dn2 as double)
        + 0.0000001 / 64 * cast(sums.reference_null_energy + sums.null_energy as double)
        + 0.000002 * sums.split_block_count
