{{ config(materialized='growing_table') }}

{#- Exact sums of the ledger (definitions E.8) at cells of 2 to 8 px, which lie inside blocks. -#}
with blocks as (

    select * from {{ ref('int_blocks_featured') }}

),

sums as (

    select
        model_id,
        image_id
        {%- for path in inference_paths() %},
        count({{ path }}_sum) as count_{{ path }},
        64 * sum(cast(shift_sq_{{ path }} as bigint)) as shifted_{{ path }}
        {%- for scale in block_scales() %},
        {{ ledger_sums(
            'energy_' ~ scale ~ '_reference', 'energy_' ~ scale ~ '_' ~ path,
            'product_' ~ scale ~ '_' ~ path, 'invented_' ~ scale ~ '_' ~ path, 64, 10000,
            scale ~ '_' ~ path
        ) }}
        {%- endfor %}
        {%- endfor %}
    from blocks
    group by model_id, image_id

),

final as (

    {{ ledger_rows('sums', block_scales()) }}

)

select * from final
