{#- What published blocks are there, which are not, and how far they are those measured here.
    Expected is the grid of the measured image, else the one that the largest row and column make.
    -#}
with blocks as (

    select * from {{ ref('fct_published_blocks') }}

),

measured as (

    select * from {{ ref('fct_blocks') }}

),

images as (

    select * from {{ ref('dim_images') }}

),

grids as (

    select
        label,
        image_id,
        max(block_row) + 1 as block_rows,
        max(block_col) + 1 as block_cols
    from blocks
    group by label, image_id

),

placed as (

    select
        grids.label,
        grids.image_id,
        coalesce(images.block_rows, grids.block_rows)
        * coalesce(images.block_cols, grids.block_cols) as expected_count
    from grids
    left join images on grids.image_id = images.image_id

),

counted as (

    {%- for path in inference_paths() %}
    select
        label,
        model_id,
        image_id,
        '{{ path }}' as inference_path,
        count(*) as block_count,
        {%- for name in ['local_ssim', 'pc1', 'mse_dn2', 'is_silent'] %}
        count(*) filter (where {{ name }}_{{ path }} is null) as {{ name }}_null_count,
        {%- endfor %}
        count(*) filter (where local_ssim_{{ path }} is null and pc1_{{ path }} is null)
            as both_null_count
    from blocks
    where has_{{ path }}
    group by label, model_id, image_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

compared as (

    {%- for path in inference_paths() %}
    select
        blocks.label,
        blocks.model_id,
        '{{ path }}' as inference_path,
        count(*) as compared_count,
        max(abs(blocks.local_ssim_{{ path }} - measured.local_ssim_{{ path }})) as largest,
        avg(abs(blocks.local_ssim_{{ path }} - measured.local_ssim_{{ path }})) as average
    from blocks
    inner join measured
        on blocks.model_id = measured.model_id
        and blocks.image_id = measured.image_id
        and blocks.block_row = measured.block_row
        and blocks.block_col = measured.block_col
    where blocks.local_ssim_{{ path }} is not null and measured.local_ssim_{{ path }} is not null
    group by blocks.label, blocks.model_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

summed as (

    select
        counted.label,
        counted.model_id,
        counted.inference_path,
        count(*) as image_count,
        sum(counted.block_count) as block_count,
        sum(placed.expected_count) as expected_count,
        count(*) filter (where counted.block_count = placed.expected_count)
            as complete_image_count,
        count(*) filter (where counted.block_count = placed.expected_count - 2)
            as two_missing_image_count,
        sum(counted.local_ssim_null_count) as local_ssim_null_count,
        sum(counted.pc1_null_count) as pc1_null_count,
        sum(counted.mse_dn2_null_count) as mse_dn2_null_count,
        sum(counted.is_silent_null_count) as is_silent_null_count,
        sum(counted.both_null_count) as both_null_count
    from counted
    inner join placed on counted.label = placed.label and counted.image_id = placed.image_id
    group by counted.label, counted.model_id, counted.inference_path

),

final as (

    select
        summed.label,
        summed.model_id,
        summed.inference_path,
        summed.image_count,
        summed.complete_image_count,
        summed.two_missing_image_count,
        cast(summed.block_count as bigint) as block_count,
        cast(summed.expected_count as bigint) as expected_block_count,
        cast(summed.expected_count - summed.block_count as bigint) as missing_block_count,
        {%- for name in ['local_ssim', 'pc1', 'mse_dn2', 'is_silent', 'both'] %}
        cast(summed.{{ name }}_null_count as bigint) as {{ name }}_null_count,
        {%- endfor %}
        coalesce(compared.compared_count, 0) as compared_block_count,
        cast(compared.largest as {{ fixed() }}) as largest_ssim_difference,
        compared.average as mean_ssim_difference
    from summed
    left join compared
        on summed.label = compared.label
        and summed.model_id = compared.model_id
        and summed.inference_path = compared.inference_path

)

select * from final
