{#- Exact sums over the blocks inside each finding's boxes, and over those outside every box of
    the image (`region` is the finding, or NULL outside). -#}
{%- set names = lesion_quantities('notta') | list -%}
with blocks as (

    select * from {{ ref('fct_blocks') }}

),

limits as (

    select * from {{ ref('mart_limits') }}

),

box_blocks as (

    select * from {{ ref('int_box_blocks') }}

),

boxed_images as (

    select image_id from box_blocks
    group by image_id

),

inside as (

    select
        blocks.* exclude (is_partial),
        box_blocks.finding as region
    from blocks
    inner join box_blocks
        on blocks.image_id = box_blocks.image_id
        and blocks.block_row = box_blocks.block_row
        and blocks.block_col = box_blocks.block_col

),

outside as (

    select
        blocks.* exclude (is_partial),
        cast(null as varchar) as region
    from blocks
    inner join boxed_images on blocks.image_id = boxed_images.image_id
    where not exists (
        select 1 from box_blocks
        where box_blocks.finding = 'any'
            and box_blocks.image_id = blocks.image_id
            and box_blocks.block_row = blocks.block_row
            and box_blocks.block_col = blocks.block_col
    )

),

regions as (

    select * from inside
    union all
    select * from outside

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
