-- What a promise costs: how many blocks a mask hides that misses at most a share alpha of the bad.
-- By score (what needs no reference) and loss (what makes a block truly bad), dim_trust_terms. The
-- promise is for a new patient, on average over patients, exchangeable with those of limit_source;
-- choose score and loss before you look, for the cheapest of several promises less. missed_pct is
-- what was missed in this study: below alpha by the rule where limit_source is own, a test where it
-- is another study. Rows with a reason and no limit say why there is no promise.
-- One row per model x inference path x loss x alpha x score.
select
    model_id,
    inference_path,
    loss,
    alpha_ratio,
    score,
    limit_source,
    limit_cluster_count,
    limit_score,
    unit,
    round(100 * masked_ratio, 1) as masked_pct,
    round(100 * good_masked_ratio, 1) as good_masked_pct,
    round(100 * risk_ratio, 1) as missed_pct,
    reason
from mart_guarantee
order by model_id, inference_path, loss, alpha_ratio, score;
