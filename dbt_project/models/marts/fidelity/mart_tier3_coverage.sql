{#- The first two published diagnostics, with the reason of every NULL: an image that one path
    lacks first (the notta one before the tta one), then a block cut by the frame, then an axis
    that cannot be identified. Where the notta image alone is judged, the tta one has no say. -#}
with images as (

    select * from {{ ref('int_image_states') }}

),

pairs as (

    select * from {{ ref('stg_raw__pairs') }}

),

explained as (

    select
        images.*,
        case
            when notta.status != 'measured' then 'notta ' || notta.status
            when images.judged_paths = 'notta' then null
            when tta.status != 'measured' then 'tta ' || tta.status
        end as image_cause
    from images
    left join pairs as notta
        on images.model_id = notta.model_id
        and images.image_id = notta.image_id
        and notta.inference_path = 'notta'
    left join pairs as tta
        on images.model_id = tta.model_id
        and images.image_id = tta.image_id
        and tta.inference_path = 'tta'

),

causes as (

    select
        model_id,
        indicator,
        judged_paths,
        'evaluated' as outcome,
        evaluated_count as block_count
    from explained
    union all
    select
        model_id,
        indicator,
        judged_paths,
        image_cause as outcome,
        block_count - evaluated_count as block_count
    from explained
    where image_cause is not null
    union all
    select
        model_id,
        indicator,
        judged_paths,
        'partial block' as outcome,
        partial_count as block_count
    from explained
    where image_cause is null
    union all
    select
        model_id,
        indicator,
        judged_paths,
        case
            when indicator = 'contradicted' then 'LR image not judged'
            else 'axis not identifiable'
        end as outcome,
        unscored_count as block_count
    from explained
    where image_cause is null
    union all
    select
        model_id,
        indicator,
        judged_paths,
        'unexplained' as outcome,
        block_count - evaluated_count - partial_count - unscored_count as block_count
    from explained
    where image_cause is null

),

final as (

    select
        model_id,
        indicator,
        judged_paths,
        outcome,
        cast(sum(block_count) as bigint) as block_count,
        cast(sum(block_count) as double)
        / nullif(
            sum(sum(block_count)) over (partition by model_id, indicator, judged_paths), 0
        ) as block_ratio
    from causes
    group by model_id, indicator, judged_paths, outcome
    having sum(block_count) != 0 or outcome = 'evaluated'

)

select * from final
