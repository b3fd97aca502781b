-- Of a study that upscale-audit phantom made: limits of each number, with what of 100 places where
-- nothing was drawn lies beyond them, and what of 100 nodules and wires, of all sizes and contrasts
-- that were drawn into the restored image.
-- One row per model x inference path x detector x reading x level.
select
    model_id,
    inference_path,
    detector,
    reading,
    level_ratio,
    limit_score,
    any_value(round(100 * false_alarm_ratio, 1)) as false_alarms_pct,
    any_value(round(100 * false_alarm_high_ratio, 1)) as false_alarms_at_most_pct,
    round(
        100 * sum(found_count) filter (where starts_with(kind, 'nodule'))
        / sum(drawn_count) filter (where starts_with(kind, 'nodule')),
        1
    ) as nodules_found_pct,
    round(
        100 * sum(found_count) filter (where kind = 'wire')
        / sum(drawn_count) filter (where kind = 'wire'),
        1
    ) as wires_found_pct
from mart_detector_limits
where
    arm = 'auditor'
    and signal_part = 'full'
group by model_id, inference_path, detector, reading, level_ratio, limit_score
order by model_id, inference_path, detector, reading, level_ratio nulls first;
