{#- A block is inside a box if its centre is: left <= x < left + width, likewise down. -#}
with boxes as (

    select * from {{ ref('stg_raw__boxes') }}
    where status <> 'no_reference'

),

images as (

    select * from {{ ref('stg_raw__images') }}

),

spans as (

    select
        boxes.*,
        boxes.status in ('whole', 'clipped') as is_used,
        greatest(0, cast(ceil((boxes.top_px - 4) / 8) as integer)) as first_row,
        least(
            images.block_rows,
            cast(ceil((boxes.top_px + boxes.height_px - 4) / 8) as integer)
        ) as end_row,
        greatest(0, cast(ceil((boxes.left_px - 4) / 8) as integer)) as first_col,
        least(
            images.block_cols,
            cast(ceil((boxes.left_px + boxes.width_px - 4) / 8) as integer)
        ) as end_col
    from boxes
    inner join images on boxes.image_id = images.image_id

),

final as (

    select
        image_id,
        box_number,
        finding,
        left_px,
        top_px,
        width_px,
        height_px,
        case when is_used then first_row end as first_block_row,
        case when is_used then end_row end as end_block_row,
        case when is_used then first_col end as first_block_col,
        case when is_used then end_col end as end_block_col,
        case
            when is_used then
                cast(greatest(0, end_row - first_row) as bigint)
                * greatest(0, end_col - first_col)
        end as block_count,
        is_used,
        status,
        frame,
        frame_rule,
        line_number
    from spans

)

select * from final
