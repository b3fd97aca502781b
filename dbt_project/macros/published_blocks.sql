{#- Where a block lies on the axis (definitions E.1). Argument: SQL of its score. Result: SQL. -#}
{% macro axis1_of(pc1) -%}
    cast(sign({{ pc1 }}) * ln(1 + abs({{ pc1 }})) as {{ fixed() }})
{%- endmacro %}

{#- On which side of the axis. Argument: SQL of axis1. Result: positive, negative, zero or NULL. -#}
{% macro polarity_of(axis1) -%}
    case
            when {{ axis1 }} > 0 then 'positive'
            when {{ axis1 }} < 0 then 'negative'
            when {{ axis1 }} = 0 then 'zero'
        end
{%- endmacro %}

{#- What a published block table may say of a block under one inference path, in the order of
    columns: by stem of the column its type; ingest.block_declarations.PATH_COLUMNS. -#}
{% macro published_measures() %}
    {%- set measures = {} -%}
    {%- for name in ['local_ssim', 'pc1', 'axis1'] -%}
    {%- do measures.update({name: fixed()}) -%}
    {%- endfor -%}
    {%- do measures.update({'mse_dn2': fixed_dn2(), 'lr_contradicted_px': 'smallint'}) -%}
    {%- for component in components() -%}
    {%- do measures.update({'d_' ~ component: fixed()}) -%}
    {%- endfor -%}
    {%- for flag in block_flags() -%}
    {%- do measures.update({flag: 'boolean'}) -%}
    {%- endfor -%}
    {{ return(measures) }}
{% endmacro %}
