{#- States by abs(pc1), which every table of scores has; beside them what its author states and what
    is measured here. A block whose state cannot be told is one of state 'unknown'. -#}
with states as (

    select * from {{ ref('fct_published_block_states') }}

),

measured as (

    select * from {{ ref('fct_block_states') }}

),

counted as (

    select
        label,
        model_id,
        coalesce(state_axis, 'unknown') as state,
        count(*) as block_count,
        count(*) filter (where zone = 'hidden') as hidden_count,
        count(is_silent_notta) as silence_known_count,
        count(*) filter (where is_silent_notta) as silent_count,
        count(stated_state) as stated_count,
        count(stated_state) filter (where stated_state is distinct from state_axis)
            as stated_otherwise_count
    from states
    group by label, model_id, coalesce(state_axis, 'unknown')

),

compared as (

    select
        states.label,
        states.model_id,
        coalesce(states.state_axis, 'unknown') as state,
        count(*) as compared_count,
        count(*) filter (where states.state_axis is distinct from measured.state_axis)
            as differing_count
    from states
    inner join measured
        on states.model_id = measured.model_id
        and states.image_id = measured.image_id
        and states.block_row = measured.block_row
        and states.block_col = measured.block_col
    group by states.label, states.model_id, coalesce(states.state_axis, 'unknown')

),

final as (

    select
        counted.label,
        counted.model_id,
        counted.state,
        counted.block_count,
        cast(counted.block_count as double)
        / sum(counted.block_count) over (partition by counted.label, counted.model_id)
            as block_ratio,
        counted.hidden_count,
        counted.silence_known_count,
        counted.silent_count,
        counted.stated_count as stated_block_count,
        counted.stated_otherwise_count,
        coalesce(compared.compared_count, 0) as compared_block_count,
        coalesce(compared.differing_count, 0) as differing_count
    from counted
    left join compared
        on counted.label = compared.label
        and counted.model_id = compared.model_id
        and counted.state = compared.state

)

select * from final
