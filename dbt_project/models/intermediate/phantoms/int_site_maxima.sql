{#- What each detector says at each site: the most that any block of the site says, as a reader
    sees it who looks for the worst block. -#}
with placed as (

    select * from {{ ref('int_site_blocks') }}

),

blocks as (

    -- Where nothing was drawn, no block is read: in most studies, none at all.
    select * from {{ ref('fct_blocks') }}
    where image_id in (select image_id from {{ ref('stg_raw__injections') }})

),

states as (

    select * from {{ ref('fct_block_states') }}
    where image_id in (select image_id from {{ ref('stg_raw__injections') }})

),

final as (

    {%- for path in inference_paths() %}
    select
        placed.model_id,
        placed.inference_path,
        placed.image_id,
        placed.source_image_id,
        placed.site_number,
        placed.arm,
        placed.kind,
        placed.signal_part,
        placed.contrast_dn,
        {{ greatest_scores(path) }}
    from placed
    inner join blocks
        on placed.model_id = blocks.model_id
        and placed.image_id = blocks.image_id
        and placed.block_row = blocks.block_row
        and placed.block_col = blocks.block_col
    inner join states
        on placed.model_id = states.model_id
        and placed.image_id = states.image_id
        and placed.block_row = states.block_row
        and placed.block_col = states.block_col
    where placed.inference_path = '{{ path }}'
    group by
        placed.model_id, placed.inference_path, placed.image_id, placed.source_image_id,
        placed.site_number, placed.arm, placed.kind, placed.signal_part, placed.contrast_dn
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from final
