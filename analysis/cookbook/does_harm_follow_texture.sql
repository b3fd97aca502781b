-- Does what a model did follow the texture of the reference?
-- Tenths of an image's blocks by variance of the reference, 1 the flattest; the limits are means of
-- the images' own. The last against the first tenth, paired by patient, and what of that the
-- baseline does not do too. NULL intervals: fewer than 15 patients.
-- One row per quantity x model.
select
    quantity,
    model_id,
    max(cluster_count) as patient_count,
    max(variance_up_to_dn2) filter (where decile = 1) as first_up_to_dn2,
    max(variance_above_dn2) filter (where decile = 10) as last_above_dn2,
    max(mean) filter (where decile = 1) as mean_first,
    max(mean) filter (where decile = 5) as mean_fifth,
    max(mean) filter (where decile = 10) as mean_last,
    max(difference) filter (where decile = 10) as difference,
    max(difference_low) filter (where decile = 10) as difference_low,
    max(difference_high) filter (where decile = 10) as difference_high,
    max(excess) filter (where decile = 10) as excess,
    max(excess_low) filter (where decile = 10) as excess_low,
    max(excess_high) filter (where decile = 10) as excess_high
from mart_content
where quantity in ('mse_dn2', 'invented_dn2', 'lost_dn2', 'local_ssim')
    and inference_path = 'notta'
group by quantity, model_id
order by quantity, model_id;
