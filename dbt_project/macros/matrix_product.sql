{#- Product of matrices held as lists of rows. Arguments: `left`, `right_transposed`, SQL
    expressions of type DOUBLE[][]. Result: left times the transpose of `right_transposed`;
    every element is one dot product in list order, so no thread changes it. -#}
{% macro matrix_product(left, right_transposed) -%}
    list_transform(
        {{ left }},
        lambda left_row: list_transform(
            {{ right_transposed }},
            lambda right_row: list_dot_product(left_row, right_row)
        )
    )
{%- endmacro %}
