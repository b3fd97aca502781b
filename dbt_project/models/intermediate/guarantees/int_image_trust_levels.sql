{{ config(materialized='growing_table') }}

{#- Each score reads the table itself: DuckDB writes out a CTE of blocks that is read more than
    once, at more than the cost of all the counts. Both paths are read at once: their levels are
    alike, so pairs of levels are few, and added up by either they cost next to nothing. In a study
    without LR images no block has that score, and what it counts is added up from another's. -#}
{%- set scores = {} -%}
{%- for name in trust_scores('notta') -%}
{%- set levels = {} -%}
{%- for path in inference_paths() -%}
{%- set score = trust_scores(path)[name] -%}
{%- do levels.update({path: trust_level('(' ~ score.sql ~ ')', score.unit)}) -%}
{%- endfor -%}
{%- do scores.update({name: levels}) -%}
{%- endfor -%}
with
{%- for name, levels in scores.items() if name != 'lr_rms_dn' or var('has_lr', false) %}
counted_{{ name }} as (

    select
        model_id,
        image_id
        {%- for path in inference_paths() %},
        {{ levels[path] }} as level_{{ path }},
        count(mse_dn2_{{ path }}) as block_count_{{ path }}
        {%- for loss, bad in trust_losses(path).items() %},
        count_if({{ bad.sql }}) as {{ loss }}_count_{{ path }}
        {%- endfor %}
        {%- endfor %}
    from {{ ref('int_blocks_completed') }}
    {{ added_blocks() }}
    group by
        model_id, image_id
        {%- for level in levels.values() | unique %},
        {{ level }}
        {%- endfor %}

),
{% endfor %}
added as (

    {%- for path in inference_paths() %}
    {%- set last_path = loop.last %}
    {%- for name in scores %}
    {%- set is_counted = name != 'lr_rms_dn' or var('has_lr', false) %}
    {%- set level = 'level_' ~ path if is_counted else constant('trust_levels') + 1 %}
    select
        model_id,
        image_id,
        '{{ path }}' as inference_path,
        '{{ name }}' as score,
        cast({{ level }} as smallint) as trust_level,
        cast(sum(block_count_{{ path }}) as bigint) as block_count
        {%- for loss in trust_losses(path) %},
        sum({{ loss }}_count_{{ path }}) as {{ loss }}_count
        {%- endfor %}
    from counted_{{ name if is_counted else 'detail_dn2' }}
    group by model_id, image_id{{ ', ' ~ level if is_counted }}
    {%- if not (last_path and loop.last) %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}

),

final as (

    select * from added
    where block_count > 0

)

select * from final
