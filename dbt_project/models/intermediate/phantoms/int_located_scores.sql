{#- Whole images with one thing in them, by the tile that says most: its score where a tile at the
    place is it, level ones included, and less than anything where another is. Beside each kind the
    images into which nothing was drawn, by theirs. -#}
{%- set tile = constant('free_response_tile') -%}
{%- set scored = ['model_id', 'inference_path', 'image_id', 'detector', 'reading'] -%}
with tiles as (

    select * from {{ ref('int_tile_scores') }}

),

drawn as (

    select * from {{ ref('int_drawn_images') }}
    where arm != 'everywhere'

),

injections as (

    select * from {{ ref('stg_raw__injections') }}
    where arm = 'alone'

),

site_blocks as (

    select * from {{ ref('stg_raw__injection_blocks') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

places as (

    select distinct
        injections.image_id,
        site_blocks.block_row // {{ tile }} as tile_row,
        site_blocks.block_col // {{ tile }} as tile_col
    from injections
    inner join site_blocks
        on injections.source_image_id = site_blocks.source_image_id
        and injections.site_number = site_blocks.site_number
        and injections.kind = site_blocks.kind

),

largest as (

    select
        tiles.{{ scored | join(', tiles.') }},
        max(tiles.score) as score,
        max(tiles.score) filter (where places.image_id is not null) as placed_score
    from tiles
    left join places
        on tiles.image_id = places.image_id
        and tiles.tile_row = places.tile_row
        and tiles.tile_col = places.tile_col
    group by tiles.{{ scored | join(', tiles.') }}

),

final as (

    select
        drawn.model_id,
        drawn.inference_path,
        drawn.image_id,
        drawn.arm,
        drawn.kind,
        'full' as signal_part,
        drawn.contrast_dn,
        clusters.cluster_id,
        clusters.cluster_unit,
        largest.detector,
        largest.reading,
        coalesce(largest.placed_score = largest.score, false) as is_located,
        case
            when drawn.arm = 'sham' or largest.placed_score = largest.score then largest.score
            else cast('-infinity' as double)
        end as score
    from drawn
    inner join largest
        on drawn.model_id = largest.model_id
        and drawn.inference_path = largest.inference_path
        and drawn.image_id = largest.image_id
    inner join clusters on drawn.source_image_id = clusters.image_id

)

select * from final
