{#- Rates of the current rule set with their intervals (macros/shares.sql); of the three populations
    only `frozen` can tell one model from another. -#}
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
        {{ share_end('counts', 'lower_points', 'low') }} as flagged_low_ratio,
        {{ share_end('counts', 'upper_points', 'high') }} as flagged_high_ratio,
        round(counts.effective_count, 9) as effective_count
    from counts
    left join points as lower_points
        on {{ share_point('counts', 'lower_points', 'low') }}
    left join points as upper_points
        on {{ share_point('counts', 'upper_points', 'high') }}

)

select * from final
