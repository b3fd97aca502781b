-- Which metrics measure the same? Rules on correlated metrics are no independent votes.
-- Pearson r over all restored images of a source, models pooled; shared_pct is r squared, the share
-- of one metric's variance that the other explains. Lower the limit to see more.
-- One row per source x pair of metrics with |r| above 0.7, the strongest first.
select
    source_id,
    first_metric,
    second_metric,
    correlation,
    100 * correlation * correlation as shared_pct,
    image_count
from mart_metric_correlation
where abs(correlation) > 0.7
order by abs(correlation) desc, source_id, first_metric, second_metric;
