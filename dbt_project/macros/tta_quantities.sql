{#- What test-time augmentation may change in a block: a name and the SQL that reads it for an
    inference path from `fct_blocks`. -#}
{% macro tta_quantities(path) %}
    {%- set quantities = {'local_ssim': 'local_ssim_' ~ path, 'abs_pc1': 'abs(pc1_' ~ path ~ ')'} -%}
    {%- for component in components() -%}
    {%- do quantities.update({'d_' ~ component: 'd_' ~ component ~ '_' ~ path}) -%}
    {%- endfor -%}
    {{ return(quantities) }}
{% endmacro %}
