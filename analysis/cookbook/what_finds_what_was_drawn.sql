-- Of a study that upscale-audit phantom made: for each model, arm and thing that was drawn, the
-- number that finds it best at one false alarm in a hundred places, and its area under the ROC
-- curve. The best of many is flattered by the choice. One row per model × inference path × arm ×
-- kind × signal_part × contrast.
with ranked as (
    select
        *,
        row_number() over (
            partition by model_id, inference_path, arm, kind, signal_part, contrast_dn
            order by sensitivity_ratio desc nulls last, auc desc, detector, reading
        ) as rank
    from mart_detectors
    where coalesce(contrast_dn, 1) > 0
)

select
    model_id,
    inference_path,
    arm,
    kind,
    signal_part,
    contrast_dn,
    detector,
    reading,
    round(auc, 2) as auc,
    round(auc_low, 2) as auc_low,
    round(auc_high, 2) as auc_high,
    round(sensitivity_ratio, 2) as sensitivity_ratio,
    drawn_count,
    sham_count
from ranked
where rank = 1
order by model_id, inference_path, arm, kind, signal_part, contrast_dn;
