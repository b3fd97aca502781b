{#- What was resampled, for a group of rows. Argument: a column of `image` or `patient`. Result:
    an aggregate: that word, `mixed` where the group holds both, NULL where it holds neither. -#}
{% macro cluster_unit(column) -%}
    case when min({{ column }}) != max({{ column }}) then 'mixed' else min({{ column }}) end
{%- endmacro %}
