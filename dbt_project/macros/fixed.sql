{#- The type of every block-level measure. Purpose: sums and products of it are exact, so no
    aggregate depends on the order in which threads add. Result: a type name, six decimals,
    magnitudes below 1000. -#}
{% macro fixed() %}decimal(9, 6){% endmacro %}
