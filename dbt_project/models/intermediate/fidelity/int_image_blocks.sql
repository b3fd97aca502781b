{{ config(materialized=growing_table()) }}

with blocks as (

    select * from {{ ref('fct_blocks') }}
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
        {%- endfor %}
    from blocks
    group by model_id, image_id

)

select * from final
