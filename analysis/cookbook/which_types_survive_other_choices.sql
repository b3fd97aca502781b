-- Which types of the axis are of the model, and which of how the axis was chosen?
-- Of the choices under which a type can be stated at all: how many say A, B or mixed by the rule,
-- each side by itself, and how many by contrasts alone; and what the choice that scores says. Signs
-- as returned count only where they turn an axis over. One row per model.
select
    model_id,
    max(axis1_type) filter (where is_scoring) as type_that_is_published,
    count(*) filter (where axis1_type != 'not identifiable') as typed_choices,
    count(*) filter (where axis1_type = 'A') as choices_of_a,
    count(*) filter (where axis1_type = 'B') as choices_of_b,
    count(*) filter (where axis1_type = 'mixed') as choices_of_mixed,
    count(*) filter (where is_supported) as choices_with_intervals,
    count(*) filter (where contrast_type != 'not identifiable') as contrasted_choices,
    count(*) filter (where contrast_type = 'A') as contrasts_of_a,
    count(*) filter (where contrast_type = 'B') as contrasts_of_b
from mart_axis1_multiverse
where axis_sign = 'anchored' or is_turned
group by model_id
order by model_id;
