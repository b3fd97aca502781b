{{ config(materialized=limited()) }}

with blocks as (

    select * from {{ ref('fct_blocks') }}
    {{ limited_blocks() }}

),

limits as (

    select * from {{ ref('mart_limits') }}

),

states as (

    {{ block_states('blocks', 'limits') }}

),

final as (

    select
        model_id,
        zone,
        is_collapsed_notta,
        is_collapsed_tta,
        state,
        is_silent_notta,
        is_masked_notta,
        is_lum_over_notta,
        is_lum_under_notta,
        direction_class_notta,
        count(*) as block_count
    from states
    group by
        model_id, zone, is_collapsed_notta, is_collapsed_tta, state, is_silent_notta,
        is_masked_notta, is_lum_over_notta, is_lum_under_notta, direction_class_notta

)

select * from final
