{{ config(materialized=growing_table()) }}

{#- Each score and path reads the table itself: DuckDB writes out a CTE that is read more than
    once, at more than the cost of all the counts. -#}
with final as (

    {%- for path in inference_paths() %}
    {%- set losses = trust_losses(path) %}
    {%- set last_path = loop.last %}
    {%- for name, score in trust_scores(path).items() %}
    select
        model_id,
        image_id,
        '{{ path }}' as inference_path,
        '{{ name }}' as score,
        cast({{ trust_level('(' ~ score.sql ~ ')', score.unit) }} as smallint) as trust_level,
        count(mse_dn2_{{ path }}) as block_count
        {%- for loss, bad in losses.items() %},
        count_if({{ bad.sql }}) as {{ loss }}_count
        {%- endfor %}
    from {{ ref('int_blocks_completed') }}
    {{ added_blocks() }}
    group by model_id, image_id, {{ trust_level('(' ~ score.sql ~ ')', score.unit) }}
    having count(mse_dn2_{{ path }}) > 0
    {%- if not (last_path and loop.last) %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}

)

select * from final
