{#- What each detector says of each tile of the images into which nothing was drawn, or one thing:
    the most that any of its blocks says. Tiles are about as large as what is drawn. -#}
{%- set tile = constant('free_response_tile') -%}
{%- set key = ['model_id', 'inference_path', 'image_id', 'arm', 'tile_row', 'tile_col'] -%}
with injections as (

    select * from {{ ref('stg_raw__injections') }}
    where arm in ('sham', 'alone')

),

blocks as (

    -- As in int_site_maxima: both are read twice and so written out, in most studies no row.
    select * from {{ ref('fct_blocks') }}
    where image_id in (select image_id from injections)

),

states as (

    select * from {{ ref('fct_block_states') }}
    where image_id in (select image_id from injections)

),

composites as (

    select * from {{ ref('stg_raw__composites') }}

),

images as (

    select
        model_id,
        inference_path,
        image_id,
        arm
    from injections
    group by model_id, inference_path, image_id, arm

),

{%- for path in inference_paths() %}
tiled_{{ path }} as (

    select
        images.model_id,
        images.inference_path,
        images.image_id,
        images.arm,
        blocks.block_row // {{ tile }} as tile_row,
        blocks.block_col // {{ tile }} as tile_col,
        {{ greatest_scores(path) }}
    from images
    inner join blocks
        on images.model_id = blocks.model_id
        and images.image_id = blocks.image_id
    inner join states
        on blocks.model_id = states.model_id
        and blocks.image_id = states.image_id
        and blocks.block_row = states.block_row
        and blocks.block_col = states.block_col
    where images.inference_path = '{{ path }}'
    group by
        images.model_id, images.inference_path, images.image_id, images.arm, tile_row, tile_col

),

scored_{{ path }} as (

    select
        images.model_id,
        images.inference_path,
        images.image_id,
        images.arm,
        blocks.block_row // {{ tile }} as tile_row,
        blocks.block_col // {{ tile }} as tile_col,
        {%- if var('has_composites', false) %}
        raw.composites_{{ path }}(blocks) as scores
        {%- else %}
        cast([] as double[]) as scores
        {%- endif %}
    from images
    inner join blocks
        on images.model_id = blocks.model_id
        and images.image_id = blocks.image_id
    where
        images.inference_path = '{{ path }}'
        and {{ 'true' if var('has_composites', false) else 'false' }}

),
{%- endfor %}

listed as (

    {%- for path in inference_paths() %}
    select
        {{ key | join(', ') }},
        unnest({{ list_scores('tiled_' ~ path) }}) as item
    from tiled_{{ path }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

composed as (

    {%- for path in inference_paths() %}
    select
        {{ key | join(', ') }},
        unnest(scores) as score,
        generate_subscripts(scores, 1) as composite_number
    from scored_{{ path }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        {{ key | join(', ') }},
        item.detector as detector,
        item.reading as reading,
        item.score as score
    from listed
    where item.score is not null
    union all
    select
        composed.{{ key | join(', composed.') }},
        composites.detector,
        'value' as reading,
        max(composed.score) as score
    from composed
    inner join composites on composed.composite_number = composites.composite_number
    where composed.score is not null
    group by composed.{{ key | join(', composed.') }}, composites.detector

)

select * from final
