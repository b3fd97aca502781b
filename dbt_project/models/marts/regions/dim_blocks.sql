{{ config(materialized='view') }}

{#- A view, computed when it is read: places follow from sizes, and a row of blocks holds its
    regions in one string. It names tables without their database, whose name changes on
    publication. -#}
with images as (

    select * from {{ ref('dim_images').include(database=false) }}

),

region_rows as (

    select * from {{ ref('dim_region_rows').include(database=false) }}

),

regions as (

    select * from {{ ref('dim_regions').include(database=false) }}

),

lines as (

    select
        image_id,
        width_px,
        height_px,
        block_cols,
        cast(unnest(range(block_rows)) as smallint) as block_row
    from images

),

placed as (

    select
        lines.*,
        region_rows.regions,
        region_rows.covered
    from lines
    left join region_rows
        on lines.image_id = region_rows.image_id
        and lines.block_row = region_rows.block_row

),

blocks as (

    select
        *,
        cast(unnest(range(block_cols)) as smallint) as block_col
    from placed

),

measured as (

    select
        *,
        least(8, width_px - 8 * block_col) as block_width_px,
        least(8, height_px - 8 * block_row) as block_height_px,
        {{ packed_number('regions', 'block_col') }} as region_code,
        {{ packed_number('covered', 'block_col') }} as covered_px
    from blocks

),

final as (

    select
        measured.image_id,
        measured.block_row,
        measured.block_col,
        cast(8 * measured.block_col as integer) as left_px,
        cast(8 * measured.block_row as integer) as top_px,
        cast(measured.block_width_px as integer) as width_px,
        cast(measured.block_height_px as integer) as height_px,
        measured.block_width_px < 8 or measured.block_height_px < 8 as is_partial,
        regions.region,
        measured.covered_px
        / cast(measured.block_width_px * measured.block_height_px as double) as covered_ratio
    from measured
    left join regions on measured.region_code = regions.region_code

)

select * from final
