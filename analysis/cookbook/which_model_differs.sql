-- Which models differ from the baseline, in which quantity, and by how much?
-- Paired on the images both have, mean over patients, model less baseline. p_holm is corrected
-- for the pairs of the same quantity and inference path; over all quantities nothing is. With
-- fewer than 15 patients there are neither intervals nor p. Empty in a study without the baseline
-- model.
-- One row per model x inference path x quantity.
with models as (

    select * from dim_models

),

pairs as (

    select * from mart_model_pairs
    where source_id = 'images' and subgroup_kind = 'all'

),

-- Whichever of the two is the baseline, the other is the model.
against as (

    select
        pairs.model_a as model_id,
        pairs.*,
        pairs.mean_b as baseline_mean,
        pairs.difference as change,
        pairs.difference_low as low,
        pairs.difference_high as high
    from pairs
    inner join models on pairs.model_b = models.model_id and models.is_baseline
    union all
    select
        pairs.model_b as model_id,
        pairs.*,
        pairs.mean_a as baseline_mean,
        -pairs.difference as change,
        -pairs.difference_high as low,
        -pairs.difference_low as high
    from pairs
    inner join models on pairs.model_a = models.model_id and models.is_baseline

)

select
    quantity,
    unit,
    inference_path,
    model_id,
    cluster_count,
    image_count,
    baseline_mean,
    change,
    low as change_low,
    high as change_high,
    p_holm,
    family_size
from against
where change is not null
order by level, quantity, inference_path, model_id;
