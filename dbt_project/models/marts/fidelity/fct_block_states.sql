{{ config(materialized='view') }}

{#- A view: a second copy of the block fact would cost as much as the first. It names tables
    without their database, whose name changes on publication, and only published ones. -#}
with blocks as (

    select * from {{ ref('fct_blocks').include(database=false) }}

),

limits as (

    select * from {{ ref('mart_limits').include(database=false) }}

),

final as (

    {{ block_states('blocks', 'limits') }}

)

select * from final
