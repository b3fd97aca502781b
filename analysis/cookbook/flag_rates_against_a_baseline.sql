-- Which rules fire more, or less, often on a model than on the baseline?
-- Thresholds frozen on the baseline model, so that they do not move with the models under test.
-- excess_pct is over the rate that a rule of one quantile has on the baseline by construction; NULL
-- for other rules. Restored without test-time augmentation. Empty in a study without the baseline
-- model, as one of published files only: pooled thresholds cannot tell models apart.
-- One row per source x model x rule, the largest excess first.
with rates as (

    select * from mart_flag_rates
    where population = 'frozen' and inference_path in ('notta', 'unstated')

),

rules as (

    select
        rule_id,
        label_en,
        -- A quantile level taken from 1 is not exact: 0.1 must equal 0.1 below.
        round(nominal_ratio, 6) as nominal_ratio
    from dim_rules
    where rule_set = 'v2_current'

)

select
    rates.source_id,
    rates.model_id,
    coalesce(rules.label_en, rates.rule_id) as rule,
    rates.evaluated_count,
    100 * rates.flagged_ratio as flagged_pct,
    100 * rates.flagged_low_ratio as flagged_low_pct,
    100 * rates.flagged_high_ratio as flagged_high_pct,
    100 * rules.nominal_ratio as fixed_pct,
    100 * (rates.flagged_ratio - rules.nominal_ratio) as excess_pct,
    case
        when rates.flagged_low_ratio > rules.nominal_ratio then 'above'
        when rates.flagged_high_ratio < rules.nominal_ratio then 'below'
        when rates.flagged_low_ratio is not null and rules.nominal_ratio is not null
            then 'not shown'
    end as departure
from rates
left join rules on rates.rule_id = rules.rule_id
order by excess_pct desc nulls last, rates.source_id, rates.model_id, rule;
