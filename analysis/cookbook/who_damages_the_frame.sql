-- Is the frame worse than the interior, and is that the model's doing?
-- deficit: mean block SSIM 4 or more blocks inside, less that of the outermost ring; above 0: worse
-- on the frame. What every restorer loses there is the content's: excess is the deficit beyond the
-- baseline's on the same images. Shown if its 95 % cluster bootstrap interval excludes 0; NULL: the
-- baseline itself, or too few clusters. worst_side is the side with the lowest outermost ring.
-- One row per model x inference path that was measured.
with sides as (

    select
        model_id,
        inference_path,
        arg_min(frame_side, mean_local_ssim) as worst_side,
        min(mean_local_ssim) as worst_side_ssim
    from mart_frame_profile
    where frame_side not in ('all', 'corner') and distance_blocks = 0
    group by model_id, inference_path

)

select
    effects.model_id,
    effects.inference_path,
    effects.deficit_cluster_count as cluster_count,
    effects.deficit,
    effects.deficit_low,
    effects.deficit_high,
    effects.excess,
    effects.excess_low,
    effects.excess_high,
    not (effects.excess_low <= 0 and effects.excess_high >= 0) as is_shown,
    sides.worst_side,
    sides.worst_side_ssim
from mart_frame_effect as effects
left join sides
    on effects.model_id = sides.model_id
    and effects.inference_path = sides.inference_path
where effects.deficit is not null
order by effects.excess desc nulls last, effects.model_id, effects.inference_path;
