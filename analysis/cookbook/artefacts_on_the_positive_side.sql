-- Where do artefacts sit: on the positive side of Axis1 (energy gained) or on the negative?
-- Ringing, blocking and lost texture as positive minus negative blocks, in robust spreads; above
-- 0 means more of it on the positive side. The interval belongs to their mean, contrast_artefact.
-- One row per model.
select
    model_id,
    axis1_type,
    is_supported,
    contrast_ring,
    contrast_block,
    -contrast_texture as contrast_texture_loss,
    contrast_artefact,
    artefact_low,
    artefact_high,
    positive_count,
    negative_count,
    reason
from mart_axis1_types
order by contrast_artefact desc nulls last, model_id;
