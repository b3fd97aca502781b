-- Which rules say the same? Two that fire on the same images are one vote, not two.
-- jaccard_ratio: images where both fired over images where either did. contained_pct: how much of
-- the rarer rule's flags the other one shares; 100 means that the rarer one adds nothing.
-- Thresholds pooled as published, rules of v2_current.
-- One row per source x pair of rules, the most alike first.
with pairs as (

    select * from mart_rule_overlap
    where rule_set = 'v2_current' and population = 'pooled'

),

information as (

    select * from mart_rule_information
    where rule_set = 'v2_current' and population = 'pooled'

),

rules as (

    select * from dim_rules
    where rule_set = 'v2_current'

)

select
    pairs.source_id,
    first_rule.label_en as first_rule,
    second_rule.label_en as second_rule,
    first_information.flagged_count as first_count,
    second_information.flagged_count as second_count,
    pairs.both_count,
    pairs.jaccard_ratio,
    100.0 * pairs.both_count
        / least(first_information.flagged_count, second_information.flagged_count)
        as contained_pct
from pairs
inner join rules as first_rule on pairs.first_rule_id = first_rule.rule_id
inner join rules as second_rule on pairs.second_rule_id = second_rule.rule_id
inner join information as first_information
    on pairs.source_id = first_information.source_id
    and pairs.first_rule_id = first_information.rule_id
inner join information as second_information
    on pairs.source_id = second_information.source_id
    and pairs.second_rule_id = second_information.rule_id
where first_rule.rule_number < second_rule.rule_number and pairs.both_count > 0
order by pairs.jaccard_ratio desc, contained_pct desc, first_rule.rule_number,
    second_rule.rule_number, pairs.source_id;
