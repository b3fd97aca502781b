{#- Where each block stands (definitions E.2, E.5, E.6, [OWN]), as SQL of a query. Arguments: names
    of relations with the columns of `fct_blocks` and of `mart_limits`, the second none where blocks
    have those of `limit_columns`; columns to carry along; those that a block and its limits share;
    whether names of categories are of an ENUM each, as DuckDB has it, or text.
    Result: one row per block with the columns of `fct_block_states`, and those. -#}
{% macro block_states(blocks, limits, carried=[], keys=['model_id'], has_enums=false) -%}
    {%- set zones = ['hidden', 'visible'] -%}
    with judged as (

        {{ judged_blocks(blocks, limits, keys) }}

    ),

    counted as (

        select
            *
            {%- for name, indicator in tier3_indicators('').items() %},
            local_ssim_notta is not null and local_ssim_tta is not null
            and {{ indicator.flag }}_notta is not null and {{ indicator.flag }}_tta is not null
                as is_complete_{{ name }}
            {%- endfor %}
            {%- for path in inference_paths() %},
            {{ direction_count(path) }} as direction_count_{{ path }}
            {%- endfor %}
        from judged

    )

    select
        model_id,
        image_id,
        block_row,
        block_col
        {%- for name in tier3_indicators('') %},
        {{ tier3_state(name, has_enums) }} as state_{{ name }}
        {%- endfor %},
        case
            when local_ssim_notta >= ssim_p90 then {{ category('hidden', zones, has_enums) }}
            when local_ssim_notta < ssim_p90 then {{ category('visible', zones, has_enums) }}
        end as zone
        {%- for path in inference_paths() %},
        {{ direction_class(path, has_enums) }} as direction_class_{{ path }},
        case
            when direction_count_{{ path }} != 1 then null
            {%- set directions = block_directions(path) %}
            {%- for direction in directions %}
            when direction_{{ loop.index }}_{{ path }}
                then {{ category(direction, directions, has_enums) }}
            {%- endfor %}
        end as direction_{{ path }}
        {%- endfor %}
        {%- for name, indicator in tier3_indicators('').items() %},
        case
            when is_complete_{{ name }}
                then cast(
                    cast({{ indicator.flag }}_tta as integer)
                    - cast({{ indicator.flag }}_notta as integer)
                    as tinyint
                )
        end as delta_tier3_{{ name }}
        {%- endfor %},
        cast(local_ssim_tta - local_ssim_notta as {{ fixed() }}) as delta_ssim
        {%- for path in inference_paths() %}
        {%- for indicator in tier3_indicators(path).values() %},
        {{ indicator.flag }}_{{ path }}
        {%- endfor %},
        is_masked_{{ path }}
        {%- for flag in block_flags() %},
        {{ flag }}_{{ path }}
        {%- endfor %}
        {%- endfor %}
        {%- for column in carried %},
        {{ column }}
        {%- endfor %}
    from counted
{%- endmacro %}

{#- Blocks beside their limits, and what is held against these: flags, and whether each direction
    was taken. Arguments as of block_states. Result: a query. -#}
{% macro judged_blocks(blocks, limits, keys=['model_id']) -%}
    select
            blocks.*
            {%- if limits %},
            limits.ssim_p90
            {%- endif %}
            {%- for path in inference_paths() %}
            {%- for indicator in tier3_indicators(path).values() %},
            {{ indicator.value }} > {{ indicator.limit }} as {{ indicator.flag }}_{{ path }}
            {%- endfor %},
            blocks.local_ssim_{{ path }} >= ssim_p90
            and blocks.mse_dn2_{{ path }} > mse_q75_dn2
            and blocks.is_textured_{{ path }} as is_masked_{{ path }}
            {%- for sql in block_directions(path).values() %},
            {{ sql }} as direction_{{ loop.index }}_{{ path }}
            {%- endfor %}
            {%- endfor %}
        from {{ blocks }} as blocks
        {%- if limits %}
        inner join {{ limits }} as limits
            on {% for key in keys %}blocks.{{ key }} = limits.{{ key }}
            {{- ' and ' if not loop.last }}{% endfor %}
        {%- endif %}
{%- endmacro %}

{#- What `judged_blocks` reads of `mart_limits`. Result: types by column. -#}
{% macro limit_columns() -%}
    {%- set columns = {
        'tau': fixed(),
        'ssim_p90': fixed(),
        'mse_q75_dn2': fixed_dn2(),
        'error_limit_dn2': fixed_dn2(),
        'contradicted_limit_px': 'smallint',
    } -%}
    {%- for component in limited_components() -%}
    {%- do columns.update({'limit_' ~ component: fixed()}) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{#- In how many directions a block went wrong, from `judged_blocks`. -#}
{% macro direction_count(path) -%}
    {%- for _ in block_directions(path) -%}
    {{ '+ ' if not loop.first }}cast(direction_{{ loop.index }}_{{ path }} as integer)
            {%- if not loop.last %}
            {% endif %}
    {%- endfor %}
{%- endmacro %}

{#- From that number, and from flags of both paths and whether all that they need is there. -#}
{% macro direction_class(path, has_enums=false) -%}
    {%- set classes = {'None': '= 0', 'Single': '= 1', 'Multi': '> 1'} -%}
    case
            {%- for name, test in classes.items() %}
            when direction_count_{{ path }} {{ test }}
                then {{ category(name, classes, has_enums) }}
            {%- endfor %}
        end
{%- endmacro %}

{% macro tier3_state(name, has_enums=false) -%}
    {%- set states = tier3_states() -%}
    {%- set flag = tier3_indicators('')[name].flag -%}
    case
            when not is_complete_{{ name }} then null
            {%- for state, (notta, tta) in states.items() %}
            when {{ '' if notta else 'not ' }}{{ flag }}_notta
                and {{ '' if tta else 'not ' }}{{ flag }}_tta
                then {{ category(state, states, has_enums) }}
            {%- endfor %}
        end
{%- endmacro %}

{#- A name of a category as an SQL literal: text, or of the ENUM of all its names, of which a writer
    of Parquet need not seek the place. Arguments: it, all of them, whether it is of an ENUM. -#}
{% macro category(name, names, is_enum) -%}
    {%- if is_enum -%}
    cast('{{ name }}' as enum('{{ names | join("', '") }}'))
    {%- else -%}
    '{{ name }}'
    {%- endif -%}
{%- endmacro %}

{#- Notta quantities of which limits are quantiles: a name and the SQL that reads it from
    `fct_blocks`, at a resolution that keeps the values few. -#}
{% macro counted_quantities() %}
    {%- set quantities = {
        'abs_pc1': 'round(abs(pc1_notta), 4)',
        'local_ssim': 'local_ssim_notta',
        'mse_dn2': 'mse_dn2_notta',
    } -%}
    {%- for component in components() -%}
    {%- do quantities.update({'d_' ~ component: 'round(d_' ~ component ~ '_notta, 4)'}) -%}
    {%- endfor -%}
    {{ return(quantities) }}
{% endmacro %}
