with blocks as (

    select * from {{ ref('fct_block_states') }}

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
    from blocks
    group by
        model_id, zone, is_collapsed_notta, is_collapsed_tta, state, is_silent_notta,
        is_masked_notta, is_lum_over_notta, is_lum_under_notta, direction_class_notta

)

select * from final
