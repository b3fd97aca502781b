{#- A block is inside a box if its centre is: left <= x < left + width, likewise down. `any` is the
    union of all boxes of the image. Boxes are in the pixels of the reference. -#}
with boxes as (

    select * from {{ ref('stg_raw__boxes') }}

),

images as (

    select * from {{ ref('stg_raw__images') }}

),

spans as (

    select
        boxes.image_id,
        boxes.finding,
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

lines as (

    select
        image_id,
        finding,
        unnest(range(first_row, end_row)) as block_row,
        first_col,
        end_col
    from spans

),

covered as (

    select
        image_id,
        finding,
        block_row,
        unnest(range(first_col, end_col)) as block_col
    from lines

),

findings as (

    select * from covered
    union all
    select image_id, 'any' as finding, block_row, block_col from covered

),

final as (

    select
        image_id,
        finding,
        cast(block_row as smallint) as block_row,
        cast(block_col as smallint) as block_col
    from findings
    group by image_id, finding, block_row, block_col

)

select * from final
