{#- A build either makes every table anew or adds to a copy of the published file what was measured
    since (docs/growing.md). Tables with a row per image, or with sums to which more can be added,
    are materialized as `growing_table`; in a build that adds they read only what is added. -#}

{#- After `from ref('int_blocks_completed')`, in a growing table or a view that only such tables read:
    the rows that this build adds. They lie behind the carried ones, and a condition on a row's
    number skips those unread. -#}
{% macro added_blocks() -%}
    {%- if is_growing() -%}
    where block_number >= {{ carried_rows()['intermediate.int_blocks_scored'] }}
    {%- endif -%}
{%- endmacro %}

{#- After `where`, on `int_blocks_completed` in a growing table: the rows that this build adds, but
    not all at once. The table is made by one statement after another, each of whole images of
    about `batch_rows` blocks together, so that what is kept of each cell of an image takes as much
    memory in a large study as in a small one. Who runs the compiled SQL itself gets them all. -#}
{% macro in_a_batch() -%} /* in a batch */ true {%- endmacro %}
{% macro batch_rows() %}
    {{ return(env_var('UPSCALE_AUDIT_BATCH_ROWS', '4194304') | int) }}
{% endmacro %}

{#- Rows that each carried table, `schema.name`, held when a build that adds began; else nothing.
    No dbt variable: of those any change makes dbt read the whole project anew. -#}
{% macro carried_rows() %}
    {{ return(fromjson(env_var('UPSCALE_AUDIT_CARRIED', '{}')) if execute else {}) }}
{% endmacro %}

{#- Whether this build adds to a copy of the published file. -#}
{% macro is_growing() %}{{ return(carried_rows() | length > 0) }}{% endmacro %}

{#- Every table is made in its place, in a transaction that takes back what failed: nobody reads the
    file before it is published. dbt-duckdb's own makes it beside and renames twice. -#}
{% materialization table, adapter='duckdb' %}
    {{ return(make_table(this.incorporate(type='table'), is_added_to=false)) }}
{% endmaterialization %}

{#- A table that is made anew as a whole, however often and whatever stands there, save in a build
    that adds: there each carried table gets its new rows once. One with more rows than were
    carried has got them already. -#}
{% materialization growing_table, adapter='duckdb' %}
    {{ return(make_table(this.incorporate(type='table'), is_added_to=is_growing())) }}
{% endmaterialization %}

{#- Make a dbt model's table, or add its rows to the one that was carried. -#}
{% macro make_table(relation, is_added_to) %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set parts = rows_of_parts(relation) | trim -%}
    {%- set queries = [parts] if parts else split_in_batches(compiled_code) -%}
    {%- if is_added_to %}{% do check_carried(relation, existing) %}{% endif -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') %}
        {%- if is_added_to %}
        insert into {{ relation }} by name ({{ queries[0] }})
        {%- else %}
        {%- if existing is not none %}drop {{ existing.type }} {{ existing }} cascade;{% endif %}
        {{ create_table_as(False, relation, queries[0]) }}
        {%- endif %}
        {%- for query in queries[1:] %};
        insert into {{ relation }} by name ({{ query }})
        {%- endfor %}
    {% endcall %}
    {%- if not is_added_to %}{% do persist_docs(relation, model) %}{% endif -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ return({'relations': [relation]}) }}
{% endmacro %}

{#- The queries whose rows together are those of a compiled one: itself, unless it reads blocks
    `in_a_batch`. A batch begins with the first block of an image, before which all images end that
    began before it. -#}
{% macro split_in_batches(query) %}
    {%- if in_a_batch() not in query %}{{ return([query]) }}{% endif -%}
    {%- set starts = run_query(
        'select min(first) from (select first, coalesce(first > max(last) over'
        ~ ' (order by first rows between unbounded preceding and 1 preceding), true) as is_free'
        ~ ' from (select min(block_number) as first, max(block_number) as last from '
        ~ ref('int_blocks_completed') ~ ' ' ~ added_blocks() ~ ' group by model_id, image_id))'
        ~ ' where is_free group by first // ' ~ batch_rows() ~ ' order by 1'
    ).rows -%}
    {%- set queries = [] -%}
    {%- for (start,) in starts -%}
    {%- set end = '' if loop.last else ' and block_number < ' ~ loop.nextitem[0] -%}
    {%- do queries.append(
        query | replace(in_a_batch(), 'block_number >= ' ~ start ~ end)
    ) -%}
    {%- endfor -%}
    {{ return(queries or [query | replace(in_a_batch(), 'false')]) }}
{% endmacro %}

{#- A table that the workers of a cluster have made, from their files in the order of the parts; none
    if no cluster did. Parquet holds its 128-bit integers as decimals. -#}
{% macro rows_of_parts(relation) %}
    {%- set parts = fromjson(env_var('UPSCALE_AUDIT_PARTS', '{}')) -%}
    {%- set name = relation.schema ~ '.' ~ relation.identifier -%}
    {%- if name in parts.get('tables', {}) -%}
        {%- set files = (parts['folder'] ~ '/' ~ name ~ '/*.parquet') | replace("'", "''") -%}
        select * {% for column in parts['tables'][name] -%}
        {{ 'replace (' if loop.first }}cast({{ column }} as hugeint) as {{ column }}
        {{- ')' if loop.last else ', ' }}
        {%- endfor %}
        from read_parquet('{{ files }}', hive_partitioning = false)
    {%- endif -%}
{% endmacro %}

{#- Comments of a relation and its columns, in one statement. DuckDB refuses one of a column that is
    not there; dbt's own asks the database before, once a relation. -#}
{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) %}
    {%- set comments -%}
        {%- if for_relation and config.persist_relation_docs() and model.description %}
        {{- duckdb__alter_relation_comment(relation, model.description) }}
        {%- endif %}
        {%- if for_columns and config.persist_column_docs() %}
        {%- for name, column in model.columns.items() %}
        comment on column {{ relation }}.{{ name }} is {{ duckdb_escape_comment(column.description) }};
        {%- endfor %}
        {%- endif %}
    {%- endset -%}
    {%- if comments | trim %}
    {%- call statement('comments') %}{{ comments }}{% endcall %}
    {%- endif %}
{% endmacro %}

{#- Refuse to add to a table that is not as it was carried. Arguments: its relation, and that of what
    stands there, or none. -#}
{% macro check_carried(relation, existing) %}
    {%- set name = relation.schema ~ '.' ~ relation.identifier -%}
    {%- set expected = carried_rows().get(name, 'no') -%}
    {%- set found = 'no' -%}
    {%- if existing is not none -%}
    {%- set found = run_query('select count(*) from ' ~ relation).rows[0][0] | int -%}
    {%- endif -%}
    {%- if flags.FULL_REFRESH or existing is none or found != expected -%}
    {{ exceptions.raise_compiler_error(
        name ~ ' cannot be added to: ' ~ expected ~ ' rows were carried, ' ~ found ~ ' are there'
        ~ (', and --full-refresh was given' if flags.FULL_REFRESH else '')
        ~ '; run upscale-audit build, which begins from a fresh copy'
    ) }}
    {%- endif -%}
{% endmacro %}

{#- dbt's own `incremental` adds the same rows again each time it runs. -#}
{% materialization incremental, adapter='duckdb' %}
    {{ exceptions.raise_compiler_error(
        this.identifier ~ " is materialized as 'incremental', which adds its rows again each time;"
        ~ ' expected growing_table'
    ) }}
{% endmaterialization %}

{#- The basis that scores every block: the standard one, the study's own ('pooled'), or that of its
    frozen file. -#}
{% macro scoring_basis() %}{{ return(var('scoring_basis', 'standard-1')) }}{% endmacro %}

{#- Whether axis and limits come from the study's frozen file. -#}
{% macro is_frozen() %}{{ return(scoring_basis() == 'frozen') }}{% endmacro %}

{#- Limits of block states are quantiles of the study's blocks. What holds them against blocks can
    be added to only where they are frozen, and is else made anew of all blocks. -#}
{% macro limited() %}{{ return('growing_table' if is_frozen() else 'table') }}{% endmacro %}
{% macro limited_blocks() %}{{ added_blocks() if is_frozen() }}{% endmacro %}

{#- Whether a model is one of those on which the study's own axis, and limits that models share, are
    fitted. Argument: SQL of its id. Result: a condition. -#}
{% macro is_axis_model(model_id) -%}
    {%- set models = var('axis_models', none) -%}
    {{ 'true' if models is none else is_one_of(model_id, models) }}
{%- endmacro %}

{#- Whether a model is a control: references, damaged as stated. Argument: SQL of its id. Result: a
    condition. -#}
{% macro is_control(model_id) -%}
    {%- set models = var('control_models', []) -%}
    {{ is_one_of(model_id, models) if models else 'false' }}
{%- endmacro %}

{% macro is_one_of(model_id, models) -%}
    {{ model_id }} in (
        {%- for name in models -%}
        {{ dbt.string_literal(dbt.escape_single_quotes(name)) }}{{ ', ' if not loop.last }}
        {%- endfor -%}
    )
{%- endmacro %}
