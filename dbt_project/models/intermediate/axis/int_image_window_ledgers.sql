{{ config(materialized='growing_table') }}

{#- Exact sums of the ledger (definitions E.8) at cells of 16 to 64 px, of an image's whole windows
    of 64 px, whose blocks' sums are all they need. Sums of cells are doubles, whole numbers far
    below 2^53: exact in any order, and half the size of the 128-bit ones of integers. Cells of 16
    px are a fourth of the blocks in number, and would fill the memory of a large build: some images
    are taken at a time. -#}
{%- set images = ['reference'] + inference_paths() -%}
{#- Of whose sums products are taken. -#}
{%- set pairs = [('reference', 'reference')] -%}
{%- for path in inference_paths() -%}
{%- do pairs.append((path, path)) -%}
{%- do pairs.append(('reference', path)) -%}
{%- endfor -%}
with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    where {{ in_a_batch() }}

),

cells_8 as (

    select
        model_id,
        image_id,
        cast(block_row as integer) as cell_row,
        cast(block_col as integer) as cell_col,
        1e0 as block_count
        {%- for image in images %},
        64e0 * cast(mean_dn_{{ image }} as double) as sum_{{ image }}
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

sums as (

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

    {{ ledger_rows('sums', window_scales()) }}

)

select * from final
