{{ config(materialized='view') }}

{#- Exact sums of the ledger (definitions E.8), in 4096ths of dn2 over all pixels of the image that
    were measured: at cells of 2 to 8 px of its blocks, of 16 to 64 px of its whole windows of
    64 px. `shifted` is what is left above 8 and above 64 px. -#}
with final as (

    select * from {{ ref('int_image_block_ledgers') }}
    union all by name
    select * from {{ ref('int_image_window_ledgers') }}

)

select * from final
