{{ config(materialized='growing_table') }}

{#- Rings beyond the profiled ones are one ring; only the outermost is told apart by side. -#}
with blocks as (

    select * from {{ ref('int_blocks_placed') }}

),

final as (

    select
        model_id,
        image_id,
        least(frame_distance, {{ constant('profiled_rings') }}) as ring,
        case when frame_distance = 0 then frame_side else 'inside' end as frame_side
        {%- for path in inference_paths() %},
        count(local_ssim_{{ path }}) as count_{{ path }},
        sum(local_ssim_{{ path }}) as sum_{{ path }},
        {{ residual_sums(path) }}
        {%- endfor %}
    from blocks
    group by
        model_id, image_id, least(frame_distance, {{ constant('profiled_rings') }}),
        case when frame_distance = 0 then frame_side else 'inside' end

)

select * from final
