{#- The type of every block-level measure. Purpose: sums and products of it are exact, so no
    aggregate depends on the order in which threads add. Result: a type name, six decimals,
    magnitudes below 1000. -#}
{% macro fixed() %}decimal(9, 6){% endmacro %}

{#- The type of a block's squared error: exact, up to 255^2. -#}
{% macro fixed_dn2() %}decimal(11, 6){% endmacro %}
