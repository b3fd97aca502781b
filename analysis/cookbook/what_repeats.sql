-- On how many images does a model repeat a pattern that the reference has not, with which period,
-- and does the published P7 ("low entropy, high frequencies") fire there? P7 by each population of
-- thresholds; its two rates apart are NULL where no image repeats, or all do. Empty in a study
-- without per-image metrics. One row per model × inference path × population.
with images as (

    select
        model_id,
        inference_path,
        image_id,
        repetition_strength,
        round(repetition_period_px, 1) as period_px,
        is_repeated
    from fct_image_quality
    where source_id = 'images' and is_repeated is not null

),

flags as (

    select * from fct_rule_flags
    where source_id = 'images' and rule_set = 'v2_current' and rule_id = 'P7'

)

select
    images.model_id,
    images.inference_path,
    flags.population,
    count(*) as image_count,
    count(*) filter (where images.is_repeated) as repeated_count,
    round(100 * avg(cast(images.is_repeated as integer)), 1) as repeated_pct,
    mode(images.period_px) as usual_period_px,
    round(median(images.repetition_strength), 2) as median_strength,
    round(100 * avg(cast(flags.is_flagged as integer)), 1) as p7_pct,
    round(100 * avg(cast(flags.is_flagged as integer)) filter (where images.is_repeated), 1)
        as p7_where_repeated_pct,
    round(100 * avg(cast(flags.is_flagged as integer)) filter (where not images.is_repeated), 1)
        as p7_elsewhere_pct
from images
inner join flags
    on images.model_id = flags.model_id
    and images.inference_path = flags.inference_path
    and images.image_id = flags.image_id
group by images.model_id, images.inference_path, flags.population
order by repeated_pct desc, images.model_id, images.inference_path, flags.population;
