-- Does a model contradict its LR images at its tiles' seams, or at the frame, more than elsewhere?
-- Share of blocks with a contradicted LR pixel and the residual itself, at the place and elsewhere.
-- A seam is one where `seam` has more and its control, the same tiles moved by half a side, has
-- not; excess is over the baseline on the same images. Seams only of models that declare tile_px.
-- Empty without [lr].
-- One row per model x inference path x place x quantity.
with profile as (

    select * from mart_consistency_profile

),

controls as (

    select * from profile
    where place = 'between_seams'

)

select
    profile.model_id,
    profile.inference_path,
    profile.place,
    profile.quantity,
    profile.near_mean,
    profile.far_mean,
    profile.difference,
    profile.difference_low,
    profile.difference_high,
    profile.excess,
    profile.excess_low,
    profile.excess_high,
    controls.difference as control_difference,
    profile.cluster_count
from profile
left join controls
    on profile.model_id = controls.model_id
    and profile.inference_path = controls.inference_path
    and profile.quantity = controls.quantity
    and profile.place = 'seam'
where profile.place != 'between_seams'
order by profile.place, profile.quantity, profile.model_id, profile.inference_path;
