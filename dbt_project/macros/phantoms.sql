{#- Known truth (definitions E.12, [OWN]): what may find what was drawn into a study's images. -#}

{#- What of a block may tell that something was drawn there. Argument: an inference path. Result: by
    name, the SQL of its value, from `fct_blocks` and `fct_block_states`, and how it is read. -#}
{% macro block_detectors(path) %}
    {%- set detectors = {
        'mse_dn2': {'value': 'blocks.mse_dn2_' ~ path, 'readings': ['value']},
        'local_ssim': {'value': 'blocks.local_ssim_' ~ path, 'readings': ['negated']},
        'axis1': {'value': 'blocks.axis1_' ~ path, 'readings': block_readings()},
        'd_variance_dn2': {
            'value': '(blocks.variance_dn2_' ~ path ~ ' - blocks.variance_dn2_reference)',
            'readings': block_readings(),
        },
        'lr_contradicted_px':
            {'value': 'blocks.lr_contradicted_px_' ~ path, 'readings': ['value']},
        'lr_rms_dn': {'value': 'blocks.lr_rms_dn_' ~ path, 'readings': ['value']},
        'null_correlation':
            {'value': 'blocks.null_correlation_' ~ path, 'readings': ['negated']},
    } -%}
    {%- for kind in ledger_kinds() + ['shifted'] -%}
    {%- do detectors.update({
        kind ~ '_dn2': {'value': 'blocks.' ~ kind ~ '_dn2_' ~ path, 'readings': ['value']}
    }) -%}
    {%- endfor -%}
    {%- for kind in lr_kinds(path) -%}
    {%- do detectors.update({
        'lr_' ~ kind ~ '_dn2':
            {'value': 'blocks.lr_' ~ kind ~ '_dn2_' ~ path, 'readings': ['value']}
    }) -%}
    {%- endfor -%}
    {%- for component in components() -%}
    {%- do detectors.update({
        'd_' ~ component:
            {'value': 'blocks.d_' ~ component ~ '_' ~ path, 'readings': block_readings()}
    }) -%}
    {%- endfor -%}
    {%- for flag in judged_flags() -%}
    {%- do detectors.update({
        flag: {'value': 'cast(states.' ~ flag ~ '_' ~ path ~ ' as integer)', 'readings': ['value']}
    }) -%}
    {%- endfor -%}
    {{ return(detectors) }}
{% endmacro %}

{#- How a signed value is read, and the SQL's form: as it is, with the other sign, without one. -#}
{% macro block_readings() %}{{ return(['value', 'negated', 'absolute']) }}{% endmacro %}
{% macro read_as(value, reading) -%}
    {{ {'value': value, 'negated': '-(' ~ value ~ ')', 'absolute': 'abs(' ~ value ~ ')'}[reading] }}
{%- endmacro %}

{#- Flags of a block, of fct_blocks and of its states. -#}
{% macro judged_flags() %}
    {%- set flags = [] -%}
    {%- for indicator in tier3_indicators('').values() -%}
    {%- do flags.append(indicator.flag) -%}
    {%- endfor -%}
    {{ return(flags + ['is_masked'] + block_flags()) }}
{% endmacro %}

{#- Columns that name what was drawn, beside the detector and how it is read. -#}
{% macro injection_groups() %}
    {{ return(['model_id', 'inference_path', 'arm', 'kind', 'component', 'contrast_dn']) }}
{% endmacro %}
