{#- Every way to score a block that mart_axis1_multiverse compares (definitions E.10, [OWN]). An axis is
    a feature space, scaled to unit variance or not, and the basis whose first component is taken; a
    choice adds the origin. Signs double the choices, and need no other score. -#}

{#- Result: list of axes, each with `name`, `space`, `features`, `is_scaled` and `basis`. The
    standard basis is of the signed features alone. -#}
{% macro choice_axes() %}
    {%- set axes = [] -%}
    {%- for space, names in feature_spaces().items() -%}
    {%- for is_scaled in [true, false] -%}
    {%- for basis in choice_bases() if basis != 'standard' or space == 'phi5' -%}
    {%- do axes.append({
        'name': space ~ ('_scaled_' if is_scaled else '_unscaled_') ~ basis,
        'space': space,
        'features': names,
        'is_scaled': is_scaled,
        'basis': basis,
    }) -%}
    {%- endfor -%}
    {%- endfor -%}
    {%- endfor -%}
    {{ return(axes) }}
{% endmacro %}

{% macro choice_bases() %}{{ return(['standard', 'pooled', 'own']) }}{% endmacro %}
{% macro choice_origins() %}{{ return(['zero', 'mean']) }}{% endmacro %}

{#- Result: list of choices, each an axis with its `origin`, and its number, from 0. -#}
{% macro choices() %}
    {%- set found = [] -%}
    {%- for axis in choice_axes() -%}
    {%- for origin in choice_origins() -%}
    {%- do found.append(dict(axis, origin=origin, number=found | length)) -%}
    {%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}
