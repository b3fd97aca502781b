{#- A build either makes every table anew or adds to a copy of the published file what was measured
    since (docs/growing.md). Tables with a row per image, or with sums to which more can be added,
    are `incremental`; they read only what is added. -#}

{#- After `from ref('fct_blocks')`, in an incremental model or a view that only such models read:
    the rows that this build adds. They lie behind the carried ones, and a condition on rowid skips
    those unread. -#}
{% macro added_blocks() -%}
    {%- if is_growing() -%}
    where rowid >= {{ var('carried_blocks') }}
    {%- endif -%}
{%- endmacro %}

{#- Whether this build adds to a copy of the published file. -#}
{% macro is_growing() %}{{ return(var('carried_blocks', none) is not none) }}{% endmacro %}

{#- dbt-duckdb's own goes through a temporary table, which would write a block three times. -#}
{% materialization incremental, adapter='duckdb' %}
    {%- set target = this.incorporate(type='table') -%}
    {%- set is_new = load_cached_relation(this) is none -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') %}
        {%- if is_new %}
        {{ create_table_as(False, target, compiled_code) }}
        {%- else %}
        insert into {{ target }} by name ({{ compiled_code }})
        {%- endif %}
    {% endcall %}
    {% if is_new %}
        {% do persist_docs(target, model) %}
    {% endif %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{#- The basis that scores every block: the standard one, the study's own ('pooled'), or that of its
    frozen file. -#}
{% macro scoring_basis() %}{{ return(var('scoring_basis', 'standard-1')) }}{% endmacro %}

{#- Whether axis and limits come from the study's frozen file. -#}
{% macro is_frozen() %}{{ return(scoring_basis() == 'frozen') }}{% endmacro %}

{#- Limits of block states are quantiles of the study's blocks. What holds them against blocks can
    be added to only where they are frozen, and is else made anew of all blocks. -#}
{% macro limited() %}{{ return('incremental' if is_frozen() else 'table') }}{% endmacro %}
{% macro limited_blocks() %}{{ added_blocks() if is_frozen() }}{% endmacro %}

{#- Whether a model is one of those on which the study's own axis, and limits that models share, are
    fitted. Argument: SQL of its id. Result: a condition. -#}
{% macro is_axis_model(model_id) -%}
    {%- set models = var('axis_models', none) -%}
    {%- if models is none -%}
    true
    {%- else -%}
    {{ model_id }} in (
        {%- for name in models -%}
        {{ dbt.string_literal(dbt.escape_single_quotes(name)) }}{{ ', ' if not loop.last }}
        {%- endfor -%}
    )
    {%- endif -%}
{%- endmacro %}
