{#- The rule of the types of the axis (definitions E.4, [OWN]), of columns {side}_{level}, their
    ends _low and _high (NULL where there is no interval: a mean alone then meets a condition),
    positive_noise, has_contrast, is_identifiable and alignment. -#}

{% macro type_sides() %}{{ return(['positive', 'negative']) }}{% endmacro %}

{#- What a side is judged by: a name, and the SQL of it from a side's means in robust spreads. -#}
{% macro type_levels() %}
    {{ return({
        'sharpness': 'mean_sharp',
        'artefact': '(mean_block - mean_texture) / 2',
    }) }}
{% endmacro %}

{#- Result: select items, one flag a condition. -#}
{% macro type_conditions() -%}
    {%- for side in type_sides() -%}
    {%- for level in type_levels() -%}
    {{ side }}_{{ level }} > 0 and coalesce({{ side }}_{{ level }}_low > 0, true)
            as has_{{ side }}_{{ level }},
        {% endfor -%}
    {%- endfor -%}
    negative_sharpness < 0 and coalesce(negative_sharpness_high < 0, true) as has_negative_blur,
        positive_noise > {{ constant('grain_factor') }} * positive_sharpness as is_grain
{%- endmacro %}

{#- Result: the type, from these flags. -#}
{% macro axis1_type() -%}
    case
            when is_identifiable is distinct from true then 'not identifiable'
            when alignment is null or alignment < {{ constant('minimum_alignment') }}
                then 'not identifiable'
            when not has_contrast then 'not identifiable'
            when has_positive_artefact and has_negative_blur then 'A'
            when has_positive_sharpness and has_negative_artefact and not is_grain then 'B'
            else 'mixed'
        end
{%- endmacro %}

{#- Result: whether both sides of a type have an interval that excludes 0; NULL for other types. -#}
{% macro is_type_supported() -%}
    case axis1_type
            when 'A' then positive_artefact_low > 0 and negative_sharpness_high < 0
            when 'B' then positive_sharpness_low > 0 and negative_artefact_low > 0
        end
{%- endmacro %}

{#- Result: why this type. -#}
{% macro type_reason() -%}
    case
            when is_identifiable is distinct from true
                then 'the basis that scores has no identifiable first axis'
            when alignment is null then 'no block of this model was measured'
            when not has_contrast
                then 'no contrast: a polarity has no block, or a component no spread'
            when alignment < {{ constant('minimum_alignment') }}
                then 'the model''s own first axis is not the one that scores'
            when axis1_type = 'A'
                then 'artefacts were added on the positive side, sharpness lost on the negative'
            when axis1_type = 'B'
                then 'sharpness was gained on the positive side, artefacts added on the negative'
            when has_positive_sharpness and is_grain
                then 'what the positive side gained is grain: noise beyond twice its sharpness'
            when has_positive_sharpness then 'no artefacts were added on the negative side'
            when has_negative_blur
                then 'the positive side gained no sharpness and no artefacts were added there'
            else 'neither side meets its condition'
        end
{%- endmacro %}
