with shares as (

    select * from {{ ref('int_sham_shares') }}

),

points as (

    select * from {{ ref('int_beta_points') }}

),

final as (

    select
        shares.model_id,
        shares.inference_path,
        shares.kind,
        shares.flag,
        shares.cluster_unit,
        shares.cluster_count,
        cast(shares.evaluated_count as bigint) as site_count,
        cast(shares.flagged_count as bigint) as flagged_count,
        cast(shares.flagged_count as double) / nullif(shares.evaluated_count, 0) as flagged_ratio,
        {{ share_end('shares', 'lower_points', 'low') }} as flagged_low_ratio,
        {{ share_end('shares', 'upper_points', 'high') }} as flagged_high_ratio
    from shares
    left join points as lower_points
        on {{ share_point('shares', 'lower_points', 'low') }}
    left join points as upper_points
        on {{ share_point('shares', 'upper_points', 'high') }}

)

select * from final
