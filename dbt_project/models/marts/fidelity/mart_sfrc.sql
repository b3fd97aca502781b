{#- Share of patches whose ring correlation with the reference ends below the LR image's Nyquist
    frequency, with an interval (macros/shares.sql). -#}
{%- set keys = ['model_id', 'inference_path', 'patch_px', 'frc_threshold'] -%}
with patches as (

    select * from {{ ref('int_patches_judged') }}

),

shares as (

    select * from {{ ref('int_sfrc_shares') }}

),

points as (

    select * from {{ ref('int_beta_points') }}

),

medians as (

    select
        {{ keys | join(', ') }},
        median(cast(agreement_end as double)) as median_end
    from patches
    group by {{ keys | join(', ') }}

),

final as (

    select
        {%- for key in keys %}
        shares.{{ key }},
        {%- endfor %}
        shares.lr_nyquist,
        shares.cluster_unit,
        shares.cluster_count,
        shares.patch_count,
        cast(shares.evaluated_count as bigint) as evaluated_count,
        cast(shares.flagged_count as bigint) as flagged_count,
        cast(shares.flagged_count as double) / nullif(shares.evaluated_count, 0) as flagged_ratio,
        {{ share_end('shares', 'lower_points', 'low') }} as flagged_low_ratio,
        {{ share_end('shares', 'upper_points', 'high') }} as flagged_high_ratio,
        round(shares.effective_count, 9) as effective_count,
        medians.median_end
    from shares
    inner join medians
        on
        {%- for key in keys %}
        {{ 'and ' if not loop.first }}shares.{{ key }} = medians.{{ key }}
        {%- endfor %}
    left join points as lower_points
        on {{ share_point('shares', 'lower_points', 'low') }}
    left join points as upper_points
        on {{ share_point('shares', 'upper_points', 'high') }}

)

select * from final
