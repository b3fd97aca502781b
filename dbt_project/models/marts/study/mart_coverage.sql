{#- What became of every block that the study should have, and why a missing one is missing. -#}
{%- set causes = ['missing', 'ambiguous', 'rejected', 'not_declared'] -%}
with pairs as (

    select * from {{ ref('stg_raw__pairs') }}

),

images as (

    select * from {{ ref('stg_raw__images') }}

),

blocks as (

    select * from {{ ref('int_image_blocks') }}

),

counted as (

    select
        pairs.model_id,
        pairs.inference_path,
        pairs.status,
        coalesce(images.block_rows * images.block_cols, 0) as expected_count,
        coalesce(blocks.row_count, 0) as row_count,
        coalesce(blocks.partial_count, 0) as partial_count,
        coalesce(
            case pairs.inference_path
                when 'notta' then blocks.measured_notta
                else blocks.measured_tta
            end,
            0
        ) as measured_count
    from pairs
    left join images on pairs.image_id = images.image_id
    left join blocks on pairs.image_id = blocks.image_id and pairs.model_id = blocks.model_id

),

final as (

    select
        model_id,
        inference_path,
        count(*) as image_count,
        count(*) filter (where status = 'measured') as measured_image_count
        {%- for cause in causes %},
        count(*) filter (where status = '{{ cause }}') as {{ cause }}_image_count
        {%- endfor %},
        count(*) filter (where status = 'reference_rejected') as reference_rejected_image_count,
        cast(sum(expected_count) as bigint) as expected_block_count,
        cast(sum(row_count) as bigint) as block_count,
        cast(sum(measured_count) as bigint) as measured_block_count,
        cast(coalesce(sum(partial_count) filter (where status = 'measured'), 0) as bigint)
            as partial_block_count
        {%- for cause in causes %},
        cast(coalesce(sum(row_count) filter (where status = '{{ cause }}'), 0) as bigint)
            as {{ cause }}_block_count
        {%- endfor %}
    from counted
    group by model_id, inference_path

)

select * from final
