-- How many blocks miss their reference by more than the study's limit, which of them does test-time
-- augmentation repair or break, and how much of it would SSIM have hidden?
-- hidden_pct: share of the Persistent blocks that lie in the zone of the model's highest SSIM;
-- silent_pct: share of those in which SSIM could hardly fall (NULL where there is none), to be
-- read beside zone_silent_pct, the same of all blocks of that zone. is_identity: no block of the
-- zone that is not silent reaches the limit, so silent_pct is 100 whatever the model did.
-- Indicator `axis` asks the same of blocks far along Axis1, which is no damage. Models without
-- tta are left out: their half has judged_paths 'notta'. One row per model and indicator.
select
    model_id,
    indicator,
    cast(sum(block_count) as bigint) as block_count,
    100 * sum(model_ratio) filter (where state = 'Persistent') as persistent_pct,
    100 * sum(model_ratio) filter (where state = 'Escape') as escape_pct,
    100 * sum(model_ratio) filter (where state = 'BlindSpot') as blind_spot_pct,
    100 * sum(block_count) filter (where state = 'Persistent' and zone = 'hidden')
    / nullif(sum(block_count) filter (where state = 'Persistent'), 0) as hidden_pct,
    100 * max(silent_ratio) filter (where state = 'Persistent' and zone = 'hidden') as silent_pct,
    100 * max(silent_low_ratio) filter (where state = 'Persistent' and zone = 'hidden')
        as silent_low_pct,
    100 * max(silent_high_ratio) filter (where state = 'Persistent' and zone = 'hidden')
        as silent_high_pct,
    100 * max(zone_silent_ratio) filter (where zone = 'hidden') as zone_silent_pct,
    bool_or(loud_most <= indicator_limit) filter (where zone = 'hidden') as is_identity
from mart_tier3_states
where judged_paths = 'both' and block_count is not null
group by model_id, indicator
order by indicator desc, persistent_pct desc, model_id;
