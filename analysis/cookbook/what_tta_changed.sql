-- What did test-time augmentation change, and is the change more than chance?
-- A change counts as shown if its 95 % cluster bootstrap interval excludes 0; NULL: too few
-- clusters for an interval. Models without tta are left out: mart_coverage names them.
-- One row per model x quantity with a value.
select
    model_id,
    quantity,
    mean_notta,
    mean_tta,
    mean_change,
    change_low,
    change_high,
    not (change_low <= 0 and change_high >= 0) as is_shown,
    100 * raised_ratio as raised_pct,
    100 * lowered_ratio as lowered_pct,
    pair_count
from mart_tta_effect
where mean_change is not null
order by quantity, mean_change, model_id;
