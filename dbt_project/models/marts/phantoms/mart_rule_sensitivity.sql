{#- Beside each condition the images into which nothing was drawn, counted once for its kind. -#}
with shares as (

    select * from {{ ref('int_rule_shares') }}

),

points as (

    select * from {{ ref('int_beta_points') }}

),

thresholds as (

    select * from {{ ref('int_rule_limits') }}

),

ended as (

    select
        shares.*,
        cast(shares.flagged_count as double) / nullif(shares.evaluated_count, 0) as flagged_ratio,
        {{ share_end('shares', 'lower_points', 'low') }} as low_ratio,
        {{ share_end('shares', 'upper_points', 'high') }} as high_ratio
    from shares
    left join points as lower_points
        on {{ share_point('shares', 'lower_points', 'low') }}
    left join points as upper_points
        on {{ share_point('shares', 'upper_points', 'high') }}

),

final as (

    select
        drawn.rule_set,
        drawn.population,
        drawn.model_id,
        drawn.inference_path,
        drawn.arm,
        drawn.kind,
        drawn.contrast_dn,
        drawn.rule_id,
        drawn.cluster_unit,
        thresholds.thresholds_sha256,
        shams.cluster_count as sham_cluster_count,
        cast(shams.evaluated_count as bigint) as sham_count,
        cast(shams.flagged_count as bigint) as alarm_count,
        shams.flagged_ratio as false_alarm_ratio,
        shams.low_ratio as false_alarm_low_ratio,
        shams.high_ratio as false_alarm_high_ratio,
        drawn.cluster_count as drawn_cluster_count,
        cast(drawn.evaluated_count as bigint) as drawn_count,
        cast(drawn.flagged_count as bigint) as found_count,
        drawn.flagged_ratio as sensitivity_ratio,
        drawn.low_ratio as sensitivity_low_ratio,
        drawn.high_ratio as sensitivity_high_ratio
    from ended as drawn
    inner join ended as shams
        on drawn.rule_set = shams.rule_set
        and drawn.population = shams.population
        and drawn.model_id = shams.model_id
        and drawn.inference_path = shams.inference_path
        and drawn.kind = shams.kind
        and drawn.rule_id = shams.rule_id
        and shams.arm = 'sham'
    left join thresholds
        on thresholds.source_id = 'images'
        and drawn.rule_set = thresholds.rule_set
        and drawn.population = thresholds.population
        and drawn.model_id = thresholds.model_id
        and drawn.inference_path = thresholds.inference_path
        and drawn.rule_id = thresholds.rule_id
    where drawn.arm != 'sham'

)

select * from final
