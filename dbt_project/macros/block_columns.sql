{#- Columns of fct_blocks, and which of them are stored. -#}

{#- Those behind keys and is_partial, in their order. -#}
{% macro block_measures() %}
    {%- set measures = ['polarity_notta'] -%}
    {%- for name in ['axis1', 'pc1', 'local_ssim'] -%}
    {%- for path in inference_paths() -%}
    {%- do measures.append(name ~ '_' ~ path) -%}
    {%- endfor -%}
    {%- endfor -%}
    {%- for name in ['mean_dn', 'variance_dn2'] -%}
    {%- for image in ['reference'] + inference_paths() -%}
    {%- do measures.append(name ~ '_' ~ image) -%}
    {%- endfor -%}
    {%- endfor -%}
    {%- for path in inference_paths() -%}
    {%- for component in components() -%}
    {%- do measures.append('d_' ~ component ~ '_' ~ path) -%}
    {%- endfor -%}
    {%- endfor -%}
    {%- for path in inference_paths() -%}
    {%- for kind in ['mse'] + ledger_kinds() + ['shifted'] -%}
    {%- do measures.append(kind ~ '_dn2_' ~ path) -%}
    {%- endfor -%}
    {%- for flag in block_flags() -%}
    {%- do measures.append(flag ~ '_' ~ path) -%}
    {%- endfor -%}
    {%- do measures.extend(lr_columns(path)) -%}
    {%- endfor -%}
    {{ return(measures) }}
{% endmacro %}

{#- Those that int_blocks_scored does not store: the difference of a block's means, and its square
    (64ths of dn, and exact in a double), computed whenever they are read; and what is said of LR
    images, NULL where the study names none. Result: by name the SQL, of names of stored columns. -#}
{% macro computed_block_columns() %}
    {%- set columns = {} -%}
    {%- for path in inference_paths() -%}
    {%- set shift = 'mean_dn_' ~ path ~ ' - mean_dn_reference' -%}
    {%- do columns.update({
        'd_mu_' ~ path: 'cast(' ~ shift ~ ' as ' ~ fixed() ~ ')',
        'shifted_dn2_' ~ path: 'cast(cast(' ~ shift ~ ' as double) * cast(' ~ shift
            ~ ' as double) as ' ~ fixed_dn2() ~ ')',
    }) -%}
    {%- if not var('has_lr', false) -%}
    {%- for name, type in lr_columns(path).items() -%}
    {%- do columns.update({name: 'cast(null as ' ~ type ~ ')'}) -%}
    {%- endfor -%}
    {%- endif -%}
    {%- endfor -%}
    {{ return(columns) }}
{% endmacro %}

{#- All columns of a block, as select items from int_blocks_scored. -#}
{% macro block_items() -%}
    {%- set computed = computed_block_columns() -%}
    model_id,
        image_id,
        block_row,
        block_col,
        is_partial
        {%- for name in block_measures() %},
        {{ computed[name] ~ ' as ' if name in computed }}{{ name }}
        {%- endfor %}
{%- endmacro %}
