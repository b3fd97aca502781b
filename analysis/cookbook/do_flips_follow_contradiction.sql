-- Does a reader change its mind more on images that say more than their input holds?
-- A call is flipped where the restored image is called otherwise than its reference. Beside the
-- share of calls that flipped stands what those images say too much, less the same of calls that
-- stood, by patient: above 0, flips go with contradiction (or with what is invented). is_shown
-- follows p after Holm's correction over models and paths; NULL: too few patients, which is no
-- evidence of none. An association: an image that is hard to restore may be hard to read. Empty
-- where no reader has read.
-- One row per reader x quantity x model x inference path.
select
    reader,
    quantity,
    model_id,
    inference_path,
    flipped_count,
    flipped_count + kept_count as called_count,
    flipped_count / (flipped_count + kept_count) as flipped_ratio,
    flipped_mean,
    kept_mean,
    difference,
    difference_low,
    difference_high,
    p_holm,
    p_holm < 0.05 as is_shown
from mart_reading_harm
order by reader, quantity, difference desc nulls last, model_id, inference_path;
