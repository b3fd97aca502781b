-- How did each model treat each image? Find the images where one behaves unlike elsewhere:
-- deviation_sd is the image's mean Axis1, in standard deviations over the model's images.
-- One row per model x image.
with profiles as (

    select
        model_id,
        image_id,
        count(axis1_notta) as scored_block_count,
        avg(axis1_notta) as mean_axis1,
        100.0 * count(*) filter (where polarity_notta = 'positive') / nullif(count(axis1_notta), 0)
            as positive_pct,
        avg(local_ssim_notta) as mean_local_ssim,
        quantile_disc(local_ssim_notta, 0.05) as low_local_ssim,
        avg(d_sharp_notta) as mean_sharpness,
        avg(d_ring_notta) as mean_ringing_dn
    from fct_blocks
    group by model_id, image_id

)

select
    profiles.*,
    (mean_axis1 - avg(mean_axis1) over models) / nullif(stddev_pop(mean_axis1) over models, 0)
        as deviation_sd,
    images.view_position,
    images.finding_labels
from profiles
inner join dim_images as images on profiles.image_id = images.image_id
window models as (partition by profiles.model_id)
order by abs(deviation_sd) desc nulls last, profiles.model_id, profiles.image_id;
