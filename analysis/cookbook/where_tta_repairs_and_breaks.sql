-- How many blocks collapse, which of them does test-time augmentation repair or break, and how much
-- of the collapse would SSIM have hidden?
-- hidden_pct: share of the Persistent blocks that lie in the zone of the model's highest SSIM;
-- silent_pct: share of those in which SSIM could hardly fall (published as 95.30 % for SwinIR; NULL
-- where there is none). The collapse indicator is this project's own. Models without tta are left
-- out: mart_tier3_coverage says why blocks have no state.
-- One row per model.
select
    model_id,
    cast(sum(block_count) as bigint) as block_count,
    100 * sum(model_ratio) filter (where state = 'Persistent') as persistent_pct,
    100 * sum(model_ratio) filter (where state = 'Escape') as escape_pct,
    100 * sum(model_ratio) filter (where state = 'BlindSpot') as blind_spot_pct,
    100 * sum(block_count) filter (where state = 'Persistent' and zone = 'hidden')
    / nullif(sum(block_count) filter (where state = 'Persistent'), 0) as hidden_pct,
    100 * max(silent_ratio) filter (where state = 'Persistent' and zone = 'hidden') as silent_pct
from mart_tier3_states
where block_count is not null
group by model_id
order by persistent_pct desc, model_id;
