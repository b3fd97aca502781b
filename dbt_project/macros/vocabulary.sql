{#- The lists that several dbt models loop over. Each is the order of columns, loadings and
    exports; `seeds/direction_components.csv` describes the components and is tested against
    the list here. -#}

{#- The two ways an image was upscaled. -#}
{% macro inference_paths() %}{{ return(['notta', 'tta']) }}{% endmacro %}

{#- The six features of the space in which PC1 is fitted (definitions E.3), f1 to f6. -#}
{% macro features() %}
    {{ return(['luminance', 'contrast', 'structure', 'decorrelation', 'gain', 'error']) }}
{% endmacro %}

{#- What a restored block may have more or less of than its reference (definitions E.5). -#}
{% macro components() %}
    {{ return(['sharp', 'texture', 'hf', 'noise', 'block', 'block16', 'block4', 'ring', 'mu']) }}
{% endmacro %}

{#- SSIM's constants for 8-bit images, and the variance of rounding to 8 bits. -#}
{% macro ssim_c1() %}cast(6.5025 as double){% endmacro %}
{% macro ssim_c2() %}cast(58.5225 as double){% endmacro %}
{% macro rounding_variance() %}(cast(1.0 as double) / 12){% endmacro %}
