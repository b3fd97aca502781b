-- What each model did in each region, and whether more than outside.
-- Differences are from the body outside structures (of the background from the body, without
-- masks), paired by patient. Regions differ in texture, and any restorer with them: a model's own
-- is the excess, its difference less the baseline's on the same images. is_shown follows the
-- excess's interval; NULL: fewer than 15 patients, the baseline itself, or the region that others
-- are compared with. Nothing is corrected over regions and models: of twenty intervals one misses
-- by chance.
-- One row per quantity x region x model.
select
    quantity,
    region,
    model_id,
    cluster_count as patient_count,
    block_count,
    mean,
    mean_low,
    mean_high,
    difference,
    difference_low,
    difference_high,
    excess,
    excess_low,
    excess_high,
    excess_low > 0 or excess_high < 0 as is_shown
from mart_regions
where quantity in ('mse_dn2', 'invented_dn2', 'lost_dn2', 'axis1')
    and inference_path = 'notta'
order by quantity, region, model_id;
