-- Every image has each block of its grid once under each model. Up to 64 neighbouring columns of a
-- block row are bits of one number: as many bits as rows means no repeats, and as many rows as
-- the grid has places means no gaps. Exact, and far cheaper than grouping by the block itself.
with blocks as (

    select * from {{ ref('fct_blocks') }}

),

images as (

    select * from {{ ref('dim_images') }}

),

strips as (

    select
        model_id,
        image_id,
        block_row,
        block_col // 64 as strip,
        count(*) as row_count,
        bit_count(bit_or(cast(1 as ubigint) << (block_col % 64))) as place_count,
        max(block_col) as last_col
    from blocks
    group by model_id, image_id, block_row, block_col // 64

),

grids as (

    select
        model_id,
        image_id,
        sum(row_count) as row_count,
        sum(place_count) as place_count,
        max(block_row) + 1 as block_rows,
        max(last_col) + 1 as block_cols
    from strips
    group by model_id, image_id

)

select grids.*
from grids
left join images on grids.image_id = images.image_id
where grids.row_count != grids.place_count
    or grids.row_count is distinct from images.block_rows * images.block_cols
    or grids.block_rows is distinct from images.block_rows
    or grids.block_cols is distinct from images.block_cols
