-- How much do verdicts depend on whose quantiles are the thresholds, and on the rule set?
-- The images are the same in every row of a model; only rules and thresholds differ. The count of
-- rules that fire is no probability, whatever the class is called.
-- One row per source x model x inference path x rule set x population.
select
    source_id,
    model_id,
    inference_path,
    rule_set,
    population,
    count(*) as image_count,
    count(*) filter (where confidence = 'High') as high_count,
    count(*) filter (where confidence = 'Medium') as medium_count,
    count(*) filter (where confidence = 'Low') as low_count,
    count(*) filter (where confidence = 'Normal') as normal_count,
    count(*) filter (where confidence is null) as not_evaluated_count,
    avg(detection_count) as mean_detection_count
from fct_verdicts
group by source_id, model_id, inference_path, rule_set, population
order by source_id, model_id, inference_path, rule_set, population;
