-- What does the published LFV proof say, and what is left of it when it is mended?
-- Texture: r of the worst block, against r of the mean block; a strength is stated where the whole
-- interval of the published r reaches it. Place: BBI against what uniform placement gives on the
-- same grids (0.6744 for 128 x 128, not 0.5), centred so that 0 is chance; share of worst blocks on
-- the outermost ring against chance, and against the baseline's on the same images. NULL: not
-- published, no place known, or too few clusters.
-- One row per source x inference path x model; pooled: all models together, as published.
select
    source_id,
    inference_path,
    model_id,
    image_count,
    cluster_count,
    correlation_texture_localmin,
    texture_dependency_strength as published_texture_strength,
    correlation_low,
    correlation_high,
    texture_strength_shown,
    correlation_texture_mean,
    boundary_bias_index,
    spatial_dependency_strength as published_spatial_strength,
    null_boundary_bias_index,
    centred_boundary_bias_index,
    centred_boundary_bias_index_low,
    centred_boundary_bias_index_high,
    100 * frame_ratio as frame_pct,
    100 * null_frame_ratio as chance_frame_pct,
    100 * excess_frame_ratio as beyond_baseline_pct,
    location_p_value
from mart_lfv_proof
order by source_id, inference_path, population != 'pooled', model_id;
