{{ config(materialized='view') }}

{#- The rows of fct_blocks with their numbers in the table that stores them: what a build adds lies
    behind a number, an image's blocks between two. Published too, so it names the table without its
    database, whose name changes then. -#}
with blocks as (

    select
        *,
        rowid as block_number
    from {{ ref('int_blocks_scored').include(database=false) }}

),

final as (

    select
        block_number,
        {{ block_items() }}
    from blocks

)

select * from final
