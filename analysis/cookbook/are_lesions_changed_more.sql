-- Are blocks inside a finding's boxes changed otherwise than the rest of the same image?
-- Differences are inside minus outside, paired by patient. Boxed regions differ from the rest in
-- anatomy and texture as well: only what the baseline's row does not show is a model's. is_shown
-- follows the p corrected for the number of findings, for the union of all boxes (any) its own p;
-- NULL: fewer patients than a test needs, which is no evidence of no difference. Empty in a study
-- without boxes.
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
    p_value,
    p_holm,
    case when finding = 'any' then p_value else p_holm end < 0.05 as is_shown
from mart_lesion_risk
where quantity in ('local_ssim', 'collapsed', 'abs_pc1') and difference is not null
order by quantity desc, finding != 'any', finding, model_id, inference_path;
