{#- What a restored block says of the LR image it was made of (definitions E.9, [OWN] but for the
    algebra). R = A y - L is the residual of an LR pixel; x_n and y_n are what of reference and
    restored the rule A cannot see. -#}

{#- What of a block's squared error the LR image decides, and what it leaves open: a name, and the
    SQL that gives it, summed over the block's 64 pixels, from the raw energies of an inference
    path. With b = <x_n, y_n> / |x_n|^2, what of y_n is b x_n is the reference's own unseen detail,
    too weak (lost) or too strong (amplified); the rest is invented. NULL where the path has no image:
    least and greatest skip NULL. -#}
{% macro lr_kinds(path) %}
    {%- set seen, own = 'reference_null_energy', path ~ '_null_energy' -%}
    {%- set both = path ~ '_null_product' -%}
    {%- set rest = '(' ~ seen ~ ' - ' ~ both ~ ') * (' ~ seen ~ ' - ' ~ both ~ ') / ' ~ seen -%}
    {{ return({
        'bent': path ~ '_bent',
        'invented': 'case when ' ~ own ~ ' is null or ' ~ seen ~ ' = 0 then ' ~ own
            ~ ' when ' ~ seen ~ ' > 0 then greatest(0, ' ~ own ~ ' - ' ~ both ~ ' * ' ~ both
            ~ ' / ' ~ seen ~ ') end',
        'lost': 'case when ' ~ both ~ ' < ' ~ seen ~ ' and ' ~ seen ~ ' > 0 then ' ~ rest
            ~ ' when ' ~ both ~ ' is not null then 0 end',
        'amplified': 'case when ' ~ both ~ ' > ' ~ seen ~ ' and ' ~ seen ~ ' > 0 then ' ~ rest
            ~ ' when ' ~ both ~ ' is not null then 0 end',
    }) }}
{% endmacro %}

{#- What of blocks' residuals is added up, place by place. Argument: the inference path. Result:
    select items: blocks that are judged, those with a contradicted LR pixel, and the sum of lr_rms_dn
    over the judged. -#}
{% macro residual_sums(path) -%}
    count_if(lr_judged_px_{{ path }} > 0) as judged_{{ path }},
        count_if(lr_contradicted_px_{{ path }} > 0) as contradicted_{{ path }},
        sum(lr_rms_dn_{{ path }}) as rms_{{ path }}
{%- endmacro %}

{#- What of the residual is compared between places: a name; its unit, the column of sums before the
    path, and the greatest value of a block. -#}
{% macro residual_quantities() %}
    {{ return({
        'lr_contradicted_ratio': {'unit': '', 'sum': 'contradicted', 'most': 1},
        'lr_rms_dn': {'unit': 'dn', 'sum': 'rms', 'most': none},
    }) }}
{% endmacro %}

{#- What rounding a restored image to 8 bits alone puts into `invented`, and what a noise of the
    reference alone puts into `lost`: the share of the null space among all dimensions. Argument:
    SQL of the scale. Result: 0..1. -#}
{% macro null_share(scale) -%}
    (1 - 1 / cast({{ scale }} * {{ scale }} as double))
{%- endmacro %}

{#- Columns of fct_blocks that say what a block holds of its LR image. Argument: the inference path.
    Result: their types by name. -#}
{% macro lr_columns(path) %}
    {%- set types = {
        'lr_judged_px_' ~ path: 'smallint',
        'lr_contradicted_px_' ~ path: 'smallint',
        'lr_rms_dn_' ~ path: fixed(),
    } -%}
    {%- for kind in lr_kinds(path) -%}
    {%- do types.update({'lr_' ~ kind ~ '_dn2_' ~ path: fixed_dn2()}) -%}
    {%- endfor -%}
    {%- do types.update({'null_correlation_' ~ path: fixed()}) -%}
    {{ return(types) }}
{% endmacro %}
