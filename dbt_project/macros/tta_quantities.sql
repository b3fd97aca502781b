{#- What may differ in a block: a name and the SQL that reads it for an inference path from
    `fct_blocks`. -#}
{% macro changed_quantities(path) %}
    {%- set quantities = {'local_ssim': 'local_ssim_' ~ path, 'abs_pc1': 'abs(pc1_' ~ path ~ ')'} -%}
    {%- for component in components() -%}
    {%- do quantities.update({'d_' ~ component: 'd_' ~ component ~ '_' ~ path}) -%}
    {%- endfor -%}
    {{ return(quantities) }}
{% endmacro %}

{#- What test-time augmentation may change in a block, likewise; what the LR image says only of a
    study that names one. -#}
{% macro tta_quantities(path) %}
    {%- set quantities = changed_quantities(path) -%}
    {%- if var('has_lr', false) -%}
    {%- for name in ['lr_contradicted_px', 'lr_bent_dn2', 'lr_invented_dn2', 'lr_lost_dn2'] -%}
    {%- do quantities.update({name: name ~ '_' ~ path}) -%}
    {%- endfor -%}
    {%- endif -%}
    {{ return(quantities) }}
{% endmacro %}
