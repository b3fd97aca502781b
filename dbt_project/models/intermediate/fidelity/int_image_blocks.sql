{{ config(materialized='growing_table', meta={'by_part': false}) }}

{#- What an image's blocks are counted and added up for, on one pass over them. Their numbers are
    those of the whole table, which no part of it knows. -#}
with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    {{ added_blocks() }}

),

final as (

    select
        model_id,
        image_id,
        count(*) as row_count,
        count(*) filter (where is_partial) as partial_count
        {%- for path in inference_paths() %},
        count(local_ssim_{{ path }}) as measured_{{ path }}
        {%- for name in summed_quantities() %},
        count({{ name }}_{{ path }}) as count_{{ name }}_{{ path }},
        sum({{ name }}_{{ path }}) as sum_{{ name }}_{{ path }}
        {%- endfor %}
        {%- endfor %}
    from blocks
    group by model_id, image_id

)

select * from final
