{#- The third published diagnostic: a pair of an indicator's flags has exactly one state. -#}
with models as (

    select * from {{ ref('dim_models') }}

),

counts as (

    select * from {{ ref('int_tier3_counts') }}

),

groups as (

    {%- for name, indicator in tier3_indicators('').items() %}
    select
        model_id,
        '{{ name }}' as indicator,
        {{ indicator.flag }}_notta as is_beyond_notta,
        {{ indicator.flag }}_tta as is_beyond_tta,
        state_{{ name }} as state,
        block_count
    from counts
    where state_{{ name }} is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

evaluated as (

    select
        model_id,
        indicator,
        sum(block_count) as block_count
    from groups
    group by model_id, indicator

),

pairs as (

    select
        model_id,
        indicator,
        is_beyond_notta,
        is_beyond_tta,
        min(state) as state,
        count(distinct state) as state_count,
        sum(block_count) as block_count
    from groups
    group by model_id, indicator, is_beyond_notta, is_beyond_tta

),

final as (

    select
        models.model_id,
        indicators.indicator,
        cells.is_beyond_notta,
        cells.is_beyond_tta,
        pairs.state,
        case when evaluated.block_count is not null then coalesce(pairs.state_count, 0) end
            as state_count,
        case
            when evaluated.block_count is not null
                then cast(coalesce(pairs.block_count, 0) as bigint)
        end as block_count,
        cast(coalesce(pairs.block_count, 0) as double) / evaluated.block_count as block_ratio
    from models
    cross join (values
        {%- for name in tier3_indicators('') %} ('{{ name }}'){{ ',' if not loop.last }}
        {%- endfor %}) as indicators (indicator)
    cross join (values (false, false), (false, true), (true, false), (true, true))
        as cells (is_beyond_notta, is_beyond_tta)
    left join evaluated
        on models.model_id = evaluated.model_id
        and indicators.indicator = evaluated.indicator
    left join pairs
        on models.model_id = pairs.model_id
        and indicators.indicator = pairs.indicator
        and cells.is_beyond_notta = pairs.is_beyond_notta
        and cells.is_beyond_tta = pairs.is_beyond_tta

)

select * from final
