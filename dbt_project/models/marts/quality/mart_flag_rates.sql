{#- Rates of the current rule set with intervals of Clopper and Pearson on the number of independent
    images that would say as much (Korn & Graubard 1998); of the three populations only `frozen`
    can tell one model from another. -#}
with counts as (

    select * from {{ ref('int_flag_counts') }}

),

points as (

    select * from {{ ref('int_beta_points') }}

),

final as (

    select
        counts.population,
        counts.source_id,
        counts.model_id,
        counts.inference_path,
        counts.rule_id,
        counts.cluster_unit,
        counts.cluster_count,
        counts.evaluated_count,
        counts.flagged_count,
        cast(counts.flagged_count as double) / nullif(counts.evaluated_count, 0) as flagged_ratio,
        -- Nine digits: no machine's logarithm changes them.
        case
            when counts.effective_flagged = 0 then 0
            else round(lower_points.point, 9)
        end as flagged_low_ratio,
        case
            when counts.effective_flagged = counts.effective_count then 1
            else round(1 - upper_points.point, 9)
        end as flagged_high_ratio,
        round(counts.effective_count, 9) as effective_count
    from counts
    left join points as lower_points
        on counts.effective_flagged = lower_points.a
        and counts.effective_count - counts.effective_flagged + 1 = lower_points.b
    left join points as upper_points
        on counts.effective_count - counts.effective_flagged = upper_points.a
        and counts.effective_flagged + 1 = upper_points.b

)

select * from final
