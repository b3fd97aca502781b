{{ config(materialized=limited()) }}

with blocks as (

    select * from {{ ref('fct_blocks') }}
    {{ limited_blocks() }}

),

limits as (

    select * from {{ ref('mart_limits') }}

),

-- An input of the state that is absent: block SSIM or score of either path, or the limit.
final as (

    select
        blocks.model_id,
        blocks.image_id,
        count(*) as block_count,
        count(*) filter (where blocks.is_partial) as partial_count,
        count(*) filter (where blocks.local_ssim_notta is null) as notta_null_count,
        count(*) filter (where blocks.local_ssim_tta is null) as tta_null_count,
        count(*) filter (where
            blocks.local_ssim_notta is not null and blocks.local_ssim_tta is not null
            and (blocks.pc1_notta is null or blocks.pc1_tta is null or limits.tau is null)
        ) as unscored_count,
        count(blocks.local_ssim_notta + blocks.local_ssim_tta + blocks.pc1_notta + blocks.pc1_tta
            + limits.tau) as evaluated_count
    from blocks
    inner join limits on blocks.model_id = limits.model_id
    group by blocks.model_id, blocks.image_id

)

select * from final
