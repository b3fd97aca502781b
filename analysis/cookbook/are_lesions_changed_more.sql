-- Are blocks inside a finding's boxes changed otherwise than the rest of the same image?
-- Differences are inside minus outside, paired by patient. Boxed regions differ from the rest in
-- anatomy and texture as well: a model's own is the excess, its difference less the baseline's on
-- the same images. is_shown follows the excess, and its p corrected for the findings tested on the
-- quantity; NULL: fewer than 15 patients, the baseline itself, or none, which is no evidence of no
-- excess. Who looks through all quantities takes excess_p_holm_all. Empty in a study without boxes.
-- One row per quantity x finding x model x inference path with a box.
select
    quantity,
    finding,
    model_id,
    inference_path,
    cluster_count as patient_count,
    inside_mean,
    outside_mean,
    difference,
    difference_low,
    difference_high,
    p_holm,
    excess,
    excess_low,
    excess_high,
    excess_p_holm,
    excess_p_holm_all,
    excess_p_holm < 0.05 as is_shown
from mart_lesion_risk
where quantity in ('local_ssim', 'mse_dn2', 'abs_pc1') and difference is not null
order by quantity, finding != 'any', finding, model_id, inference_path;
