{{ config(materialized='growing_table') }}

{#- Exact sums over an image's blocks of what they say of its LR image; no row where there is none
    to say it of. -#}
with blocks as (

    select * from {{ ref('int_blocks_featured') }}

),

images as (

    select * from {{ ref('stg_raw__images') }}

),

-- In a study without LR images no block is read.
held as (

    select * from blocks
    where image_id in (select image_id from images where lr_rule_status is not null)

),

final as (

    {%- for path in inference_paths() %}
    select
        model_id,
        image_id,
        '{{ path }}' as inference_path,
        cast(count_if(lr_judged_px_{{ path }} > 0) as bigint) as judged_block_count,
        cast(count_if(lr_contradicted_px_{{ path }} > 0) as bigint) as contradicted_block_count,
        cast(sum(lr_judged_px_{{ path }}) as bigint) as judged_px,
        cast(sum(lr_clamped_{{ path }}) as bigint) as clamped_px,
        cast(sum(lr_contradicted_px_{{ path }}) as bigint) as contradicted_px,
        sum(lr_rms_dn_{{ path }}) as rms_dn,
        cast(sum(lr_sum_{{ path }}) as bigint) as residual_sum,
        max(lr_largest_{{ path }}) as residual_largest,
        sum(cast(lr_square_{{ path }} as decimal(18, 6))) as residual_squares,
        cast(count(lr_bent_dn2_{{ path }}) as bigint) as split_block_count,
        sum(case when lr_bent_dn2_{{ path }} is not null then mse_dn2_{{ path }} end) as mse_dn2
        {%- for kind in lr_kinds(path) %},
        sum(lr_{{ kind }}_dn2_{{ path }}) as {{ kind }}_dn2
        {%- endfor %},
        sum(cast(reference_null_energy as decimal(18, 3)))
            filter (where lr_bent_dn2_{{ path }} is not null) as reference_null_energy,
        sum(cast(null_energy_{{ path }} as decimal(18, 3))) as null_energy,
        sum(cast(null_product_{{ path }} as decimal(18, 3))) as null_product,
        cast(count(null_correlation_{{ path }}) as bigint) as correlated_block_count,
        sum(null_correlation_{{ path }}) as null_correlation
    from held
    group by model_id, image_id
    having count(local_ssim_{{ path }}) > 0
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from final
