-- Where were artefacts added: on the positive side of Axis1 (energy gained) or on the negative?
-- Blocking and lost texture of each side by itself, in robust spreads: above 0 where they were
-- added, with the interval. positive_artefacts names those of the positive side that an interval
-- shows. contrast_artefact is positive minus negative blocks, ringing too: more than the other
-- side is not yet added. One row per model.
select
    model_id,
    axis1_type,
    is_supported,
    positive_artefact,
    positive_artefact_low,
    positive_artefact_high,
    positive_artefacts,
    negative_artefact,
    negative_artefact_low,
    negative_artefact_high,
    contrast_artefact,
    artefact_low,
    artefact_high,
    positive_count,
    negative_count,
    reason
from mart_axis1_types
order by positive_artefact desc nulls last, model_id;
