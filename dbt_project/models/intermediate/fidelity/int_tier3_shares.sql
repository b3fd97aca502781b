{#- How many independent blocks would say as much of a share as those of the study's patients
    (macros/shares.sql). -#}
with cells as (

    select * from {{ ref('int_tier3_cells') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

summed as (

    {%- for share, (part, whole) in tier3_shares().items() %}
    select
        model_id,
        indicator,
        judged_paths,
        zone,
        state,
        '{{ share }}' as share,
        {{ share_sums(whole, part) }}
    from cells
    group by model_id, indicator, judged_paths, zone, state
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

spread as (

    select
        *,
        {{ share_deviation() }} as deviation
    from summed

),

sized as (

    select
        spread.*,
        {{ effective_count('spread', 'of_blocks', 'of_clusters') }} as effective_count
    from spread
    left join limits as of_blocks on spread.evaluated_count - 1 = of_blocks.df
    left join limits as of_clusters on spread.cluster_count - 1 = of_clusters.df

),

final as (

    select
        *,
        cast(flagged_count as double) / nullif(evaluated_count, 0) * effective_count
            as effective_flagged
    from sized

)

select * from final
