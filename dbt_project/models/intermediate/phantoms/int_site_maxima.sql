{#- What each detector says at each site: the most that any block of the site says, as a reader
    sees it who looks for the worst block. A sham is judged as every kind would be, in that kind's
    blocks. -#}
with injections as (

    select * from {{ ref('stg_raw__injections') }}

),

site_blocks as (

    select * from {{ ref('stg_raw__injection_blocks') }}

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

placed as (

    select
        injections.image_id,
        injections.source_image_id,
        injections.model_id,
        injections.inference_path,
        injections.site_number,
        injections.arm,
        injections.component,
        injections.contrast_dn,
        site_blocks.kind,
        site_blocks.block_row,
        site_blocks.block_col
    from injections
    inner join site_blocks
        on injections.source_image_id = site_blocks.source_image_id
        and injections.site_number = site_blocks.site_number
        and (injections.arm = 'sham' or injections.kind = site_blocks.kind)
    where
        injections.arm = 'sham'
        or injections.contrast_dn = 0
        or injections.energy_dn2 > 0

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
        placed.component,
        placed.contrast_dn
        {%- for name, detector in block_detectors(path).items() %}
        {%- for reading in detector.readings %},
        max(cast({{ read_as(detector.value, reading) }} as double)) as {{ name }}__{{ reading }}
        {%- endfor %}
        {%- endfor %}
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
        placed.site_number, placed.arm, placed.kind, placed.component, placed.contrast_dn
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from final
