{{ config(materialized='growing_table') }}

{#- Exact sums of the ledger (definitions E.8), in 4096ths of dn2 over all pixels of the image that
    were measured: cells of 2 to 8 px of its blocks, cells of 16 to 64 px of its whole windows of
    64 px, whose blocks' sums are all they need. `shifted` is what is left above 8 and above 64 px.
    Sums of cells are doubles, whole numbers far below 2^53: exact in any order, and half the size
    of the 128-bit ones of integers, with which cells of 16 px filled the memory of a large build;
    those of an image are bigint. -#}
{%- set images = ['reference'] + inference_paths() -%}
{#- Of whose sums products are taken. -#}
{%- set pairs = [('reference', 'reference')] -%}
{%- for path in inference_paths() -%}
{%- do pairs.append((path, path)) -%}
{%- do pairs.append(('reference', path)) -%}
{%- endfor -%}
with featured as (

    select * from {{ ref('int_blocks_featured') }}

),

-- Read again, because DuckDB would write out a CTE that is read twice.
blocks as (

    select * from {{ ref('stg_raw__blocks') }}

),

fine as (

    select
        model_id,
        image_id
        {%- for path in inference_paths() %},
        count({{ path }}_sum) as count_{{ path }},
        64 * sum(cast(shift_sq_{{ path }} as bigint)) as shifted_{{ path }}
        {%- for scale in block_scales() %},
        {{ ledger_sums(
            'energy_' ~ scale ~ '_reference', 'energy_' ~ scale ~ '_' ~ path,
            'product_' ~ scale ~ '_' ~ path, 'invented_' ~ scale ~ '_' ~ path, 64, 10000,
            scale ~ '_' ~ path
        ) }}
        {%- endfor %}
        {%- endfor %}
    from featured
    group by model_id, image_id

),

cells_8 as (

    select
        model_id,
        image_id,
        cast(block_row as integer) as cell_row,
        cast(block_col as integer) as cell_col,
        1e0 as block_count
        {%- for image in images %},
        {{ image }}_sum as sum_{{ image }}
        {%- endfor %}
    from blocks
    where not is_partial

),

{% for side in window_scales() -%}
{%- set inner = side // 2 -%}
-- Sums over cells of {{ side }} px, and the sums of products of their parts.
cells_{{ side }} as (

    select
        model_id,
        image_id,
        cell_row // 2 as cell_row,
        cell_col // 2 as cell_col,
        sum(block_count) as block_count
        {%- for image in images %},
        sum(sum_{{ image }}) as sum_{{ image }}
        {%- endfor %}
        {%- for first, second in pairs %},
        sum(sum_{{ first }} * sum_{{ second }}) as q{{ inner }}_{{ first }}_{{ second }}
        {%- for below in [8, 16] if below < inner %},
        sum(q{{ below }}_{{ first }}_{{ second }}) as q{{ below }}_{{ first }}_{{ second }}
        {%- endfor %}
        {%- endfor %}
    from cells_{{ inner }}
    group by
        model_id, image_id, cell_row // 2, cell_col // 2

),

{% endfor -%}
windows as (

    select
        model_id,
        image_id
        {%- for image in images %},
        sum_{{ image }}
        {%- endfor %}
        {%- for first, second in pairs %},
        64 * q8_{{ first }}_{{ second }} - 16 * q16_{{ first }}_{{ second }}
            as energy_16_{{ first }}_{{ second }},
        16 * q16_{{ first }}_{{ second }} - 4 * q32_{{ first }}_{{ second }}
            as energy_32_{{ first }}_{{ second }},
        4 * q32_{{ first }}_{{ second }} - sum_{{ first }} * sum_{{ second }}
            as energy_64_{{ first }}_{{ second }}
        {%- endfor %}
    from cells_64
    where block_count = 64

),

coarse as (

    select
        model_id,
        image_id
        {%- for path in inference_paths() %},
        64 * count(sum_{{ path }}) as count_{{ path }},
        sum(cast(
            (sum_{{ path }} - sum_reference) * (sum_{{ path }} - sum_reference) as bigint
        )) as shifted_{{ path }}
        {%- for scale in window_scales() %}
        {%- set energies = [
            'energy_' ~ scale ~ '_reference_reference',
            'energy_' ~ scale ~ '_' ~ path ~ '_' ~ path,
            'energy_' ~ scale ~ '_reference_' ~ path,
        ] %},
        {{ ledger_sums(
            energies[0], energies[1], energies[2], '(' ~ invented(*energies) ~ ')', 1, 1,
            scale ~ '_' ~ path
        ) }}
        {%- endfor %}
        {%- endfor %}
    from windows
    group by model_id, image_id

),

final as (

    {%- for path in inference_paths() %}
    {%- for table, scales in {'fine': block_scales(), 'coarse': window_scales()}.items() %}
    {%- for scale in scales %}
    select
        model_id,
        image_id,
        '{{ path }}' as inference_path,
        {{ scale }} as scale_px,
        64 * count_{{ path }} as pixel_count
        {%- for name in ['reference_energy', 'product', 'error'] %},
        cast({{ name }}_{{ scale }}_{{ path }} as decimal(38, 4)) as {{ name }}
        {%- endfor %}
        {%- for name in ['invented', 'exaggerated'] %},
        cast(
            cast({{ name }}_{{ scale }}_{{ path }} as decimal(38, 0))
            * cast(0.0001 as decimal(4, 4))
            as decimal(38, 4)
        ) as {{ name }}
        {%- endfor %},
        cast(
            {{ 'shifted_' ~ path if scale == scales[-1] else 'null' }} as decimal(38, 4)
        ) as shifted
    from {{ table }}
    where count_{{ path }} > 0
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from final
