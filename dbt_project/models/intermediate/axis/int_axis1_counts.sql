{{ config(materialized='growing_table') }}

{#- Each path reads the table itself: DuckDB writes out a CTE that is read twice. -#}
with scores as (

    {%- for path in inference_paths() %}
    select
        model_id,
        '{{ path }}' as inference_path,
        floor({{ constant('axis1_bins') }} * axis1_{{ path }}) as bin
    from {{ ref('int_blocks_completed') }}
    {{ added_blocks() }}
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
    where bin is not null
    group by model_id, inference_path, bin

)

select * from final
