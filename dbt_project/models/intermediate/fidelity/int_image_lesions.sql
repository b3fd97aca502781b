{{ config(materialized=limited(), meta={'by_part': true}) }}

{#- Exact sums over the blocks inside each finding's boxes, and over those outside every box of
    the image (`region` is the finding, or NULL outside). -#}
{%- set names = lesion_quantities('notta') | list -%}
with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    {{ limited_blocks() }}

),

limits as (

    select * from {{ ref('mart_limits') }}

),

box_blocks as (

    select * from {{ ref('int_box_blocks') }}

),

-- The few images with boxes first: a join of all blocks takes ten times as long.
boxed as (

    select *
    from blocks
    where image_id in (select image_id from box_blocks)

),

-- A block in several boxes is in several regions; outside every box the region is NULL.
regions as (

    select
        boxed.*,
        box_blocks.finding as region
    from boxed
    left join box_blocks
        on boxed.image_id = box_blocks.image_id
        and boxed.block_row = box_blocks.block_row
        and boxed.block_col = box_blocks.block_col

),

final as (

    select
        regions.model_id,
        regions.image_id,
        regions.region
        {%- for path in inference_paths() %}
        {%- for name, value in lesion_quantities(path).items() %},
        count({{ value }}) as count_{{ name }}_{{ path }},
        sum({{ value }}) as sum_{{ name }}_{{ path }}
        {%- endfor %}
        {%- endfor %}
    from regions
    inner join limits on regions.model_id = limits.model_id
    group by regions.model_id, regions.image_id, regions.region

)

select * from final
