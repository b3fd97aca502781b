{{ config(materialized='growing_table') }}

{#- Blocks nearer to the frame than the interior are left out: the frame has its own effect. -#}
{%- set nearest = 'least(seam_distance, ' ~ constant('seam_reach') ~ ')' -%}
with blocks as (

    select * from {{ ref('int_blocks_tiled') }}

),

final as (

    select
        model_id,
        image_id,
        tile_px,
        phase_px,
        {{ nearest }} as seam_distance
        {%- for path in inference_paths() %},
        count(local_ssim_{{ path }}) as count_{{ path }},
        sum(local_ssim_{{ path }}) as sum_{{ path }},
        {{ residual_sums(path) }}
        {%- endfor %}
    from blocks
    where frame_distance >= {{ constant('interior_ring') }} and seam_distance is not null
    group by model_id, image_id, tile_px, phase_px, {{ nearest }}

)

select * from final
