-- What of each model's squared error is invented, lost or exaggerated, and at which scale?
-- Energies in dn2 a pixel; kept is what of the reference's own detail is there (1: all of it). An
-- interpolation invents too, by aliasing: excess_invented_dn2 is over the baseline.
-- Shifted, what is wider than the cells, stands beside 8 and 64 px.
-- One row per model x inference path x scale.
select
    model_id,
    inference_path,
    scale_px,
    max(kept) as kept,
    max(reference_energy_dn2) as reference_dn2,
    max(energy_dn2) filter (where kind = 'invented') as invented_dn2,
    max(energy_dn2) filter (where kind = 'lost') as lost_dn2,
    max(energy_dn2) filter (where kind = 'exaggerated') as exaggerated_dn2,
    max(energy_dn2) filter (where kind = 'shifted') as shifted_dn2,
    max(excess_dn2) filter (where kind = 'invented') as excess_invented_dn2,
    max(excess_dn2_low) filter (where kind = 'invented') as excess_invented_dn2_low,
    max(excess_dn2_high) filter (where kind = 'invented') as excess_invented_dn2_high
from mart_ledger
group by model_id, inference_path, scale_px
order by model_id, inference_path, scale_px;
