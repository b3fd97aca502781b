{#- What is computed of a block in more than one place: a name and its SQL, from the columns of
    int_blocks_featured's last step. -#}

{#- The feature space Phi5 (definitions E.3, [OWN]): zero for a perfect block, and with the other
    sign, to the last digit, where reference and restored change places. Argument: the inference
    path. -#}
{% macro signed_features(path) %}
    {%- set sql = {
        'luminance': '(' ~ path ~ '_sum - reference_sum) / sqrt(' ~ path ~ '_level_sq)',
        'contrast': '(sqrt(' ~ path ~ '_spread) - sqrt(reference_spread)) / sqrt(reference_spread + '
            ~ path ~ '_spread + 4096 * ' ~ ssim_c2() ~ ')',
    } -%}
    {%- for scale in block_scales() -%}
    {%- do sql.update({
        'gain_' ~ scale:
            'ln(energy_' ~ scale ~ '_' ~ path ~ ' + 4096 * ' ~ rounding_variance() ~ ')'
            ~ ' - ln(energy_' ~ scale ~ '_reference + 4096 * ' ~ rounding_variance() ~ ')',
    }) -%}
    {%- endfor -%}
    {{ return(sql) }}
{% endmacro %}

{#- The direction components that types of the axis judge (definitions E.5, [OWN]): restored minus
    reference. Argument: the inference path. -#}
{% macro judged_components(path) %}
    {{ return({
        'sharp': 'ln((' ~ path ~ '_laplacian / 4096 + 1) / (reference_laplacian / 4096 + 1))',
        'texture': 'ln((energy_4_' ~ path ~ ' / 4096 + 1) / (energy_4_reference / 4096 + 1))',
        'noise': 'sqrt(pi() / 2) / 6 * (' ~ path ~ '_noise - reference_noise) / 64',
        'block': '(' ~ path ~ '_step_side - reference_step_side) / nullif(8 * side_count, 0) - ('
            ~ path ~ '_step_inside - reference_step_inside) / 112',
        'ring': 'case when ringing_px >= ' ~ var('ringing_min_px') ~ ' then sqrt(' ~ path
            ~ '_ringing / ringing_px) end',
    }) }}
{% endmacro %}
