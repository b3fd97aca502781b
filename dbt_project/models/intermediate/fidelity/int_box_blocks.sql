{#- A block is inside a box if its centre is: left <= x < left + width, likewise down. `any` is the
    union of all boxes of the image. -#}
with boxes as (

    select * from {{ ref('dim_boxes') }}
    where is_used

),

lines as (

    select
        image_id,
        finding,
        unnest(range(first_block_row, end_block_row)) as block_row,
        first_block_col,
        end_block_col
    from boxes

),

covered as (

    select
        image_id,
        finding,
        block_row,
        unnest(range(first_block_col, end_block_col)) as block_col
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
