{{ config(materialized=growing_table()) }}

{#- Each score reads the table itself: DuckDB writes out a CTE of blocks that is read more than
    once, at more than the cost of all the counts. A score that is the same of both paths is read
    once for both: its level costs more than what is counted by it. -#}
{%- set passes = {} -%}
{%- for path in inference_paths() -%}
{%- for name, score in trust_scores(path).items() -%}
{%- do passes.setdefault(score.sql, {'score': score, 'paths': []}).paths.append(path) -%}
{%- endfor -%}
{%- endfor -%}
with
{%- for read in passes.values() %}
{%- set level = trust_level('(' ~ read.score.sql ~ ')', read.score.unit) %}
counted_{{ loop.index }} as (

    select
        model_id,
        image_id,
        cast({{ level }} as smallint) as trust_level
        {%- for path in read.paths %},
        count(mse_dn2_{{ path }}) as block_count_{{ path }}
        {%- for loss, bad in trust_losses(path).items() %},
        count_if({{ bad.sql }}) as {{ loss }}_count_{{ path }}
        {%- endfor %}
        {%- endfor %}
    from {{ ref('int_blocks_completed') }}
    {{ added_blocks() }}
    group by model_id, image_id, {{ level }}

),
{% endfor %}
final as (

    {%- for path in inference_paths() %}
    {%- set last_path = loop.last %}
    {%- for name, score in trust_scores(path).items() %}
    select
        model_id,
        image_id,
        '{{ path }}' as inference_path,
        '{{ name }}' as score,
        trust_level,
        block_count_{{ path }} as block_count
        {%- for loss in trust_losses(path) %},
        {{ loss }}_count_{{ path }} as {{ loss }}_count
        {%- endfor %}
    from counted_{{ (passes | list).index(score.sql) + 1 }}
    where block_count_{{ path }} > 0
    {%- if not (last_path and loop.last) %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}

)

select * from final
