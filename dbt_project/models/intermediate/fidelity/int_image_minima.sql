{{ config(materialized='growing_table') }}

{#- The worst block, the first in raster order among equals, and the mean. Where all
    blocks are equal, as of an image restored exactly, none is the worst. SSIM in millionths,
    shifted above zero, and the place in raster order make one number whose minimum is both. By
    way of double, which holds millionths to the digit: decimal products take ten times as long. -#}
with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    {{ added_blocks() }}

),

keyed as (

    {%- for path in inference_paths() %}
    select
        model_id,
        '{{ path }}' as inference_path,
        image_id,
        count(local_ssim_{{ path }}) as block_count,
        sum(local_ssim_{{ path }}) as sum_ssim,
        min(
            cast(cast(local_ssim_{{ path }} as double) * 1e6 + 1e6 as bigint) * 4294967296
            + block_row * 65536 + block_col
        ) as least_key
    from blocks
    group by model_id, image_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        model_id,
        inference_path,
        image_id,
        block_count,
        cast(
            (least_key // 4294967296 - 1000000) / 1000000 as {{ fixed() }}
        ) as local_ssim_min,
        cast(sum_ssim as double) / block_count as local_ssim_mean,
        cast(least_key // 65536 % 65536 as integer) as min_row,
        cast(least_key % 65536 as integer) as min_col,
        sum_ssim > block_count * cast(
            (least_key // 4294967296 - 1000000) / 1000000 as {{ fixed() }}
        ) as has_worst
    from keyed
    where block_count > 0

)

select * from final
