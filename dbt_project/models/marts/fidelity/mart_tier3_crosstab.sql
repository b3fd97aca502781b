{#- The third published diagnostic: a pair of collapse indicators has exactly one state. -#}
with models as (

    select * from {{ ref('dim_models') }}

),

groups as (

    select * from {{ ref('int_tier3_counts') }}
    where state is not null

),

evaluated as (

    select
        model_id,
        sum(block_count) as block_count
    from groups
    group by model_id

),

pairs as (

    select
        model_id,
        is_collapsed_notta,
        is_collapsed_tta,
        min(state) as state,
        count(distinct state) as state_count,
        sum(block_count) as block_count
    from groups
    group by model_id, is_collapsed_notta, is_collapsed_tta

),

final as (

    select
        models.model_id,
        cells.is_collapsed_notta,
        cells.is_collapsed_tta,
        pairs.state,
        case when evaluated.block_count is not null then coalesce(pairs.state_count, 0) end
            as state_count,
        case
            when evaluated.block_count is not null
                then cast(coalesce(pairs.block_count, 0) as bigint)
        end as block_count,
        cast(coalesce(pairs.block_count, 0) as double) / evaluated.block_count as block_ratio
    from models
    cross join (values (false, false), (false, true), (true, false), (true, true))
        as cells (is_collapsed_notta, is_collapsed_tta)
    left join evaluated on models.model_id = evaluated.model_id
    left join pairs
        on models.model_id = pairs.model_id
        and cells.is_collapsed_notta = pairs.is_collapsed_notta
        and cells.is_collapsed_tta = pairs.is_collapsed_tta

)

select * from final
