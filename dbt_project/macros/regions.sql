{#- Regions of blocks and content of references (definitions E.13, E.14, [OWN]). -#}

{#- A block's number in a string that holds one character a block, the number plus 48. Arguments:
    SQL of the string and of the block's column. Result: an integer; NULL where the string is. -#}
{% macro packed_number(line, col) -%}
    ord(substr({{ line }}, {{ col }} + 1, 1)) - 48
{%- endmacro %}

{#- What divides an image's blocks: a name, and the column of int_image_areas. The area of code 1
    is what others are compared with: the body outside structures, the tenth of least
    variance. -#}
{% macro area_kinds() %}{{ return({'region': 'region_code', 'content': 'decile'}) }}{% endmacro %}

{#- Blocks with their area, as SQL of a query from the CTEs blocks, region_rows and deciles.
    Argument: the columns to carry. Result: one row per measured block; region_code is NULL where
    the image has no regions. -#}
{% macro placed_in_areas(columns) -%}
    select
        blocks.model_id,
        blocks.image_id,
        {%- for name in columns %}
        blocks.{{ name }},
        {%- endfor %}
        {{ packed_number('region_rows.regions', 'blocks.block_col') }} as region_code,
        1
        {%- for number in range(1, 10) %}
        + cast(blocks.variance_dn2_reference > deciles.limit_{{ number }}_dn2 as integer)
        {%- endfor %} as decile
    from blocks
    inner join deciles
        on blocks.model_id = deciles.model_id
        and blocks.image_id = deciles.image_id
    left join region_rows
        on blocks.image_id = region_rows.image_id
        and blocks.block_row = region_rows.block_row
    where blocks.variance_dn2_reference is not null
{%- endmacro %}

{#- Direction components that every measured block has, and their units. -#}
{% macro area_components() %}
    {{ return({
        'sharp': '', 'texture': '', 'hf': '', 'noise': 'dn', 'block': 'dn', 'mu': 'dn'
    }) }}
{% endmacro %}

{#- Quantities of an area: a name; its unit, least and greatest value, and of int_image_areas or
    int_image_area_extremes the columns, before the path, of its sum and of the blocks that have
    it. -#}
{% macro area_quantities() %}
    {%- set quantities = {
        'mse_dn2': ['dn2', 0, 65025, 'sum_mse_dn2', 'count_mse_dn2'],
        'invented_dn2': ['dn2', 0, 'null', 'sum_invented_dn2', 'count_invented_dn2'],
        'lost_dn2': ['dn2', 0, 65025, 'sum_lost_dn2', 'count_lost_dn2'],
        'exaggerated_dn2': ['dn2', 0, 65025, 'sum_exaggerated_dn2', 'count_exaggerated_dn2'],
        'shifted_dn2': ['dn2', 0, 65025, 'sum_shifted_dn2', 'count_shifted_dn2'],
        'local_ssim': ['', -1, 1, 'sum_local_ssim', 'count_local_ssim'],
        'axis1': ['', 'null', 'null', 'sum_axis1', 'count_axis1'],
        'erroneous_ratio': ['', 0, 1, 'erroneous', 'count_mse_dn2'],
        'extreme_ratio': ['', 0, 1, 'extreme', 'scored'],
        'lr_contradicted_ratio': ['', 0, 1, 'contradicted', 'judged'],
    } -%}
    {%- for name, unit in area_components().items() -%}
    {%- do quantities.update({
        'd_' ~ name: [unit, 'null', 'null', 'sum_d_' ~ name, 'count_d_' ~ name]
    }) -%}
    {%- endfor -%}
    {{ return(quantities) }}
{% endmacro %}

{#- Quantities whose sums do not hang on limits of the study. -#}
{% macro summed_in_areas() %}
    {%- set names = [] -%}
    {%- for name, parts in area_quantities().items() if parts[3].startswith('sum_') -%}
    {%- do names.append(name) -%}
    {%- endfor -%}
    {{ return(names) }}
{% endmacro %}

{#- Three things are estimated of a quantity in an area: its mean, its difference from the area of
    code 1 of the same images, and by how much that exceeds the baseline's. -#}
{% macro area_measures() %}{{ return(['mean', 'difference', 'excess']) }}{% endmacro %}

{#- From rows of int_area_estimates of one kind, a row for each quantity of an area with its three
    estimates. Argument: a relation. Result: a query, to be CTE `measured`. -#}
{% macro area_measured(estimates) -%}
    select
        area_code,
        model_id,
        inference_path,
        quantity,
        max(unit) as unit,
        max(cluster_unit) as cluster_unit,
        max(block_count) as block_count
        {%- for measure in area_measures() %}
        {%- for name in ['cluster_count', 'image_count', 'estimate', 'low', 'high'] %},
        max({{ name }}) filter (where measure = '{{ measure }}') as {{ measure }}_{{ name }}
        {%- endfor %}
        {%- endfor %}
    from {{ estimates }}
    group by area_code, model_id, inference_path, quantity
{%- endmacro %}

{#- What marts of areas show of those rows. Argument: the relation. Result: select items, from the
    unit on. -#}
{% macro area_items(measured) -%}
    {{ measured }}.unit,
        {{ measured }}.cluster_unit,
        {{ measured }}.mean_cluster_count as cluster_count,
        {{ measured }}.mean_image_count as image_count,
        {{ measured }}.block_count,
        {{ measured }}.mean_estimate as mean,
        {{ measured }}.mean_low,
        {{ measured }}.mean_high,
        {{ measured }}.difference_cluster_count,
        {{ measured }}.difference_estimate as difference,
        {{ measured }}.difference_low,
        {{ measured }}.difference_high,
        {{ measured }}.excess_cluster_count,
        {{ measured }}.excess_estimate as excess,
        {{ measured }}.excess_low,
        {{ measured }}.excess_high
{%- endmacro %}
