-- Of a study that upscale-audit phantom made with the arms alone or everywhere: on how many of 100
-- images each current rule fires where one thing was drawn, and where nothing was. A rule that
-- fires alike on both says nothing of what was drawn. One row per model × inference path ×
-- population × arm × kind × contrast × rule.
select
    model_id,
    inference_path,
    population,
    arm,
    kind,
    contrast_dn,
    rule_id,
    round(100 * sensitivity_ratio, 1) as fires_where_drawn_pct,
    round(100 * false_alarm_ratio, 1) as fires_where_not_pct,
    round(100 * (sensitivity_ratio - false_alarm_ratio), 1) as difference_pct,
    drawn_count,
    sham_count
from mart_rule_sensitivity
where rule_set = 'v2_current'
order by
    model_id, inference_path, population, arm, kind, contrast_dn, difference_pct desc, rule_id;
