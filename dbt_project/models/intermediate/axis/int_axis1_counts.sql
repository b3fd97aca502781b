{{ config(materialized=growing_table()) }}

{#- Bins of 0.1. -#}
with blocks as (

    select * from {{ ref('fct_blocks') }}
    {{ added_blocks() }}

),

scores as (

    {%- for path in inference_paths() %}
    select
        model_id,
        '{{ path }}' as inference_path,
        floor(10 * axis1_{{ path }}) as bin
    from blocks
    where axis1_{{ path }} is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        model_id,
        inference_path,
        bin,
        count(*) as block_count
    from scores
    group by model_id, inference_path, bin

)

select * from final
