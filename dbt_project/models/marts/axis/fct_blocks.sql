{{ config(materialized='view') }}

{#- A view: what of a row is a function of the rest is not stored. It names its table without the
    database, whose name changes on publication. -#}
with blocks as (

    select * from {{ ref('int_blocks_scored').include(database=false) }}

),

final as (

    select
        {{ block_items() }}
    from blocks

)

select * from final
