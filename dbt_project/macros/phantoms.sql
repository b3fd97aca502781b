{#- Known truth (definitions E.12, [OWN]): what may find what was drawn into a study's images. -#}

{#- What of a block may tell that something was drawn there. Argument: an inference path. Result: by
    name, the SQL of its value, from `fct_blocks` and `fct_block_states`, how it is read, and what
    it is, with its unit. -#}
{% macro block_detectors(path) %}
    {%- set detectors = {} -%}
    {%- for name, (unit, family, readings) in {
        'mse_dn2': ['dn2', 'block fact', ['value']],
        'local_ssim': [none, 'block fact', ['negated']],
        'axis1': [none, 'block fact', block_readings()],
        'lr_contradicted_px': ['px', 'consistency', ['value']],
        'lr_rms_dn': ['dn', 'consistency', ['value']],
        'null_correlation': [none, 'consistency', ['negated']],
    }.items() -%}
    {%- do detectors.update({name: {
        'value': 'blocks.' ~ name ~ '_' ~ path,
        'readings': readings,
        'family': family,
        'unit': unit,
    }}) -%}
    {%- endfor -%}
    {%- do detectors.update({'d_variance_dn2': {
        'value': '(blocks.variance_dn2_' ~ path ~ ' - blocks.variance_dn2_reference)',
        'readings': block_readings(),
        'family': 'block fact',
        'unit': 'dn2',
    }}) -%}
    {%- for stems, family, prefix in [
        (ledger_kinds() + ['shifted'], 'ledger', ''), (lr_kinds(path), 'consistency', 'lr_')
    ] -%}
    {%- for stem in stems -%}
    {%- do detectors.update({prefix ~ stem ~ '_dn2': {
        'value': 'blocks.' ~ prefix ~ stem ~ '_dn2_' ~ path,
        'readings': ['value'],
        'family': family,
        'unit': 'dn2',
    }}) -%}
    {%- endfor -%}
    {%- endfor -%}
    {%- for component in components() -%}
    {%- do detectors.update({'d_' ~ component: {
        'value': 'blocks.d_' ~ component ~ '_' ~ path,
        'readings': block_readings(),
        'family': 'block fact',
        'unit': none,
    }}) -%}
    {%- endfor -%}
    {%- for flag in judged_flags() -%}
    {%- do detectors.update({flag: {
        'value': 'cast(states.' ~ flag ~ '_' ~ path ~ ' as integer)',
        'readings': ['value'],
        'family': 'flag' if flag in block_flags() else 'state',
        'unit': none,
    }}) -%}
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

{#- Rates of false alarms at which a limit is given, shams in a thousand; and that by which
    detectors are ranked. -#}
{% macro false_alarm_levels() %}{{ return([1, 2, 5, 10, 20, 50, 100]) }}{% endmacro %}
{% macro ranked_level() %}{{ return(10) }}{% endmacro %}

{#- Columns that name a detector's limit: whose, of which number, and at which level. -#}
{% macro limit_groups() %}
    {{ return(['model_id', 'inference_path', 'detector', 'reading', 'level_ratio']) }}
{% endmacro %}

{#- The arms of a phantom study: that judge what is said of a block, and of a whole image. -#}
{% macro injection_arms() %}{{ return(['auditor', 'lost', 'through']) }}{% endmacro %}
{% macro image_arms() %}{{ return(['alone', 'everywhere']) }}{% endmacro %}

{#- Texts as SQL literals, with commas between. -#}
{% macro quoted_list(texts) -%}
    {%- for text in texts %}'{{ text }}'{{ ', ' if not loop.last }}{% endfor -%}
{%- endmacro %}

{#- Rates of a free-response curve, false positives in eight images; and the side of the tile that
    counts as one, blocks. -#}
{% macro free_response_levels() %}{{ return([1, 2, 4, 8, 16, 32, 64]) }}{% endmacro %}
{% macro free_response_tile() %}{{ return(8) }}{% endmacro %}

{#- A wide row of every detector's score as a list of rows. Argument: the relation. Result: a list
    of structs with detector, reading and score. -#}
{% macro list_scores(relation) -%}
    [
            {%- for name, detector in block_detectors('').items() %}
            {%- set is_last = loop.last %}
            {%- for reading in detector.readings %}
            {
                'detector': '{{ name }}',
                'reading': '{{ reading }}',
                'score': {{ relation }}.{{ name }}__{{ reading }}
            }{{ ',' if not (is_last and loop.last) }}
            {%- endfor %}
            {%- endfor %}
        ]
{%- endmacro %}

{#- Select items: the most that any block of a group says, a column for each detector and reading.
    Argument: an inference path. -#}
{% macro greatest_scores(path) -%}
    {%- for name, detector in block_detectors(path).items() -%}
    {%- set is_last = loop.last -%}
    {%- for reading in detector.readings -%}
    max(cast({{ read_as(detector.value, reading) }} as double)) as {{ name }}__{{ reading }}
    {{- ',\n        ' if not (is_last and loop.last) }}
    {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}
