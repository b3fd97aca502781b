-- In what share of patches does agreement with the reference end below what LR could hold (sFRC)?
-- Amplitude is not seen, a shift is. The share depends on the threshold: read models at one, and
-- beside the baseline. excess_pct is over the baseline model without test-time augmentation; NULL
-- without it. Empty in a study that asks for no patches ([study] sfrc = [64]).
-- One row per model x inference path x size of patch x threshold, the largest share first.
with patches as (

    select * from mart_sfrc

),

baseline as (

    select
        patches.patch_px,
        patches.frc_threshold,
        patches.flagged_ratio
    from patches
    inner join dim_models as models on patches.model_id = models.model_id and models.is_baseline
    where patches.inference_path = 'notta'

)

select
    patches.patch_px,
    patches.frc_threshold,
    patches.model_id,
    patches.inference_path,
    patches.evaluated_count,
    100 * patches.flagged_ratio as flagged_pct,
    100 * patches.flagged_low_ratio as flagged_low_pct,
    100 * patches.flagged_high_ratio as flagged_high_pct,
    100 * (patches.flagged_ratio - baseline.flagged_ratio) as excess_pct,
    round(patches.median_end, 3) as median_end,
    patches.lr_nyquist
from patches
left join baseline
    on patches.patch_px = baseline.patch_px and patches.frc_threshold = baseline.frc_threshold
order by
    patches.patch_px, patches.frc_threshold, flagged_pct desc nulls last, patches.model_id,
    patches.inference_path;
