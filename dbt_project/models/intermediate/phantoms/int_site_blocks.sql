{#- The blocks of each site in each copy of an arm that judges blocks. A sham is judged as every
    kind would be, in that kind's blocks. -#}
with injections as (

    select * from {{ ref('stg_raw__injections') }}

),

site_blocks as (

    select * from {{ ref('stg_raw__injection_blocks') }}

),

final as (

    select
        injections.image_id,
        injections.source_image_id,
        injections.model_id,
        injections.inference_path,
        injections.site_number,
        injections.arm,
        injections.signal_part,
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
        injections.arm not in ({{ quoted_list(image_arms()) }})
        and (
            injections.arm = 'sham'
            or injections.contrast_dn = 0
            or injections.energy_dn2 > 0
        )

)

select * from final
