{#- What models are compared by (definitions D.5): an image's mean over its blocks, and the metrics of
    fct_image_quality. -#}

{#- Quantities of blocks, as fct_blocks names them before the path: unit, least and greatest value
    there can be. -#}
{% macro block_quantities() %}
    {%- set quantities = {
        'local_ssim': ['', -1, 1],
        'axis1': ['', 'null', 'null'],
        'mse_dn2': ['dn2', 0, 65025],
        'invented_dn2': ['dn2', 0, 'null'],
        'lost_dn2': ['dn2', 0, 65025],
        'exaggerated_dn2': ['dn2', 0, 65025],
        'shifted_dn2': ['dn2', 0, 65025],
    } -%}
    {%- do quantities.update(lr_quantities()) -%}
    {{ return(quantities) }}
{% endmacro %}

{#- Those of them that say what blocks hold of the LR image: columns of int_image_consistency; NULL
    where nothing is known of it. -#}
{% macro lr_quantities() %}
    {{ return({
        'lr_contradicted_ratio': ['', 0, 1],
        'lr_rms_dn': ['dn', 0, 'null'],
        'lr_bent_dn2': ['dn2', 0, 'null'],
        'lr_invented_dn2': ['dn2', 0, 'null'],
        'lr_lost_dn2': ['dn2', 0, 'null'],
        'lr_amplified_dn2': ['dn2', 0, 'null'],
        'null_correlation': ['', -1, 1],
    }) }}
{% endmacro %}

{#- Quantities of which int_image_blocks has an image's sums: a name before the path. -#}
{% macro summed_quantities() %}
    {%- set quantities = ['axis1'] -%}
    {%- for component in components() -%}
    {%- do quantities.append('d_' ~ component) -%}
    {%- endfor -%}
    {{ return(quantities) }}
{% endmacro %}

{#- All that models are compared by, in the order of columns. -#}
{% macro compared_quantities() %}
    {%- set quantities = block_quantities() | list -%}
    {%- for component in components() -%}
    {%- do quantities.append('d_' ~ component) -%}
    {%- endfor -%}
    {{ return(quantities + published_metrics() + companion_metrics()) }}
{% endmacro %}

{#- An image's value, so that sums over images are exact. Argument: SQL of a double. Result: twelve
    decimals; NULL where it is NULL, no number, or 1e26 or more, which no measurement is. -#}
{% macro image_value(value) -%}
    try_cast({{ value }} as decimal(38, 12))
{%- endmacro %}
