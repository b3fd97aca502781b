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

{#- Whether axis and limits come from the study's frozen file, and not from its blocks. -#}
{% macro is_frozen() %}{{ return(var('is_frozen', false)) }}{% endmacro %}

{#- The basis that scores every block. -#}
{% macro scoring_basis() %}{{ return('frozen' if is_frozen() else 'pooled') }}{% endmacro %}
