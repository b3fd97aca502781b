-- Which network adds what its LR image cannot hold, is it the reference's, and how linear is it?
-- One row per model that upscale-audit hyra called, the most added first; none if it never ran.
select
    mart_hyra.model_id,
    count(mart_hyra.restored_hf_gain) as image_count,
    -- Power above LR Nyquist over the reference's there: 1 is as much as the truth has.
    avg(mart_hyra.restored_hf_gain) as restored_hf_gain,
    -- 1: all of it where the truth has it; 0: as good as noise.
    avg(mart_hyra.hf_correlation) as hf_correlation,
    -- Variance that the best linear filter of the LR image explains.
    avg(mart_hyra.best_linear_contrast) as best_linear_contrast,
    -- Large: the impulse response, and the linear part made of it, describe no image.
    any_value(mart_hyra_networks.step_spread) as step_spread
from mart_hyra
inner join mart_hyra_networks
    on
        mart_hyra.model_id = mart_hyra_networks.model_id
        and mart_hyra_networks.is_linear_part
group by mart_hyra.model_id
order by restored_hf_gain desc, mart_hyra.model_id;
