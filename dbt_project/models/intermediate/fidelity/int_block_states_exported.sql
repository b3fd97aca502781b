{{ config(materialized='view') }}

{#- The rows of fct_block_states of a model whose limits the variables of a session hold, by their
    names in mart_limits. DuckDB keeps the order of rows that no join moves, so export need not sort
    them, and writes names of an ENUM without a search for each. Published and carried too, so it
    reads no mart, and names the view without its database, whose name changes then. -#}
with blocks as (

    select
        *
        {%- for name, type in limit_columns().items() %},
        cast(getvariable('{{ name }}') as {{ type }}) as {{ name }}
        {%- endfor %}
    from {{ ref('int_blocks_completed').include(database=false) }}

),

final as (

    {{ block_states('blocks', none, has_enums=true) }}

)

select * from final
