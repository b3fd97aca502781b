{#- Flags that every block has for each inference path (definitions E.2, [OWN]): where SSIM is blind
    and why. Argument: the path. Result: by name, as `fct_blocks` has it before the path, the SQL
    of its means and variances. Means are exact in a double. Variances are rounded, but they are
    4096ths of dn2: by less than the nearest of these lies from a limit. -#}
{% macro block_flags(path) %}
    {%- set spread = 'cast(variance_dn2_reference + variance_dn2_' ~ path ~ ' as double)' -%}
    {%- set dark = squared('mean_dn_reference') -%}
    {%- set shift_sq = squared('mean_dn_' ~ path ~ ' - mean_dn_reference') -%}
    {%- set level_sq = dark ~ ' + ' ~ squared('mean_dn_' ~ path) ~ ' + ' ~ ssim_c1() -%}
    {{ return({
        'is_silent': '19 * ' ~ spread ~ ' <= ' ~ ssim_c2(),
        'is_textured': spread ~ ' > ' ~ ssim_c2(),
        'is_lum_over': 'case when ' ~ dark ~ ' < 10 * ' ~ ssim_c1() ~ ' then 20 * ' ~ shift_sq
            ~ ' > ' ~ level_sq ~ ' when mean_dn_' ~ path ~ ' is not null then false end',
        'is_lum_under': 'abs(mean_dn_' ~ path ~ ' - mean_dn_reference) >= 5 and 100 * ' ~ shift_sq
            ~ ' <= ' ~ level_sq,
    }) }}
{% endmacro %}

{#- The square of a number of few digits, exact. Argument: SQL of it. -#}
{% macro squared(number) -%}
    (cast({{ number }} as double) * cast({{ number }} as double))
{%- endmacro %}
