{#- Flags that every block has for each inference path (definitions E.2, [OWN]), as `fct_blocks`
    names them before the path. -#}
{% macro block_flags() %}
    {{ return(['is_silent', 'is_textured', 'is_lum_over', 'is_lum_under']) }}
{% endmacro %}
