{{ config(materialized='growing_table') }}

with blocks as (

    select * from {{ ref('int_blocks_placed') }}

),

final as (

    select
        model_id,
        frame_side,
        frame_distance
        {%- for path in inference_paths() %},
        count(local_ssim_{{ path }}) as count_{{ path }},
        sum(local_ssim_{{ path }}) as sum_{{ path }}
        {%- endfor %}
    from blocks
    group by model_id, frame_side, frame_distance

)

select * from final
