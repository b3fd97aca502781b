{{ config(materialized='growing_table') }}

with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    {{ added_blocks() }}

),

final as (

    select
        model_id,
        image_id,
        polarity_notta as polarity,
        count(*) as block_count
        {%- for component in components() %},
        count(d_{{ component }}_notta) as count_{{ component }},
        sum(d_{{ component }}_notta) as sum_{{ component }},
        sum(d_{{ component }}_notta * d_{{ component }}_notta) as sum_sq_{{ component }}
        {%- endfor %}
    from blocks
    where polarity_notta is not null
    group by model_id, image_id, polarity_notta

)

select * from final
