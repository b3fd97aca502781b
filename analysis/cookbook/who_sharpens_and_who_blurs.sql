-- Who sharpens and who blurs?
-- Sharpness over all scored blocks of a model (both polarities weighted by their blocks), in the
-- component's own unit (ln ratio: 0.69 is twice the Laplacian variance) and in robust spreads.
-- Read it with noise: a Laplacian cannot tell sharpness from noise.
-- One row per model.
select
    model_id,
    sum(mean * measured_count) filter (where component = 'sharp')
        / sum(measured_count) filter (where component = 'sharp') as mean_sharpness,
    sum(standardised_mean * measured_count) filter (where component = 'sharp')
        / sum(measured_count) filter (where component = 'sharp') as sharpness_in_robust_spreads,
    sum(mean * measured_count) filter (where component = 'noise')
        / sum(measured_count) filter (where component = 'noise') as mean_noise_dn,
    case when mean_sharpness > 0 then 'sharpens' when mean_sharpness < 0 then 'blurs' end as verdict
from mart_direction_components
group by model_id
order by mean_sharpness desc, model_id;
