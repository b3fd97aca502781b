{#- Where DuckDB and Spark part: nothing but what stands here. Block-grain dbt models run on both;
    everything else is small and runs on DuckDB (docs/out-of-one-machine.md). -#}

{#- Quotient of whole numbers without its fraction. Arguments: SQL of two integers >= 0. Result: an
    integer. -#}
{% macro divide_whole(dividend, divisor) -%}
    ({{ dividend }}) {{ 'div' if target.type == 'spark' else '//' }} ({{ divisor }})
{%- endmacro %}

{#- A path as an SQL string. -#}
{% macro quoted_path(path) -%}
    {{ dbt.string_literal(dbt.escape_single_quotes(path)) }}
{%- endmacro %}

{#- dbt-duckdb's own, save that a table which Spark has computed is read from its files, in the
    order of its grain. `block_results` is the folder of Spark's tables, `schema.name`; it is a plain
    name, for dbt renders variables. -#}
{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql') -%}
    {%- set table = this.schema ~ '.' ~ this.identifier -%}
    {%- if table in var('block_tables', []) -%}
        {%- set grain = config.get('meta', {}).get('grain', []) -%}
        {%- set compiled_code -%}
            select * from read_parquet(
                {{ quoted_path(var('block_results') ~ '/' ~ table ~ '/*.parquet') }},
                hive_partitioning = false
            )
            {%- if grain %} order by {{ grain | join(', ') }}{% endif %}
        {%- endset -%}
    {%- endif -%}
    {{ return(dbt.duckdb__create_table_as(
        temporary, relation, compiled_code, language, **kwargs
    )) }}
{%- endmacro %}

{#- Where Spark puts a table: beside the others, in a folder of its own name. -#}
{% macro spark__location_clause() -%}
    {%- if var('block_results', none) %}
    location {{ quoted_path(var('block_results') ~ '/' ~ this.schema ~ '.' ~ this.identifier) }}
    {%- endif %}
{%- endmacro %}
