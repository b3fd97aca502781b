{#- What was resampled, for a group of rows. Argument: a column of `image` or `patient`. Result:
    an aggregate: that word, or `mixed` where the group holds both. -#}
{% macro cluster_unit(column) -%}
    case when min({{ column }}) = max({{ column }}) then min({{ column }}) else 'mixed' end
{%- endmacro %}
