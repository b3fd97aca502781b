{#- The lists that several dbt models loop over. Each is the order of columns, loadings and
    exports; `seeds/direction_components.csv` describes the components and is tested against
    the list here. -#}

{#- The two ways an image was upscaled. -#}
{% macro inference_paths() %}{{ return(['notta', 'tta']) }}{% endmacro %}

{#- The five features of the space in which PC1 is fitted (definitions E.3), f1 to f5. -#}
{% macro features() %}
    {{ return(['luminance', 'contrast', 'gain_2', 'gain_4', 'gain_8']) }}
{% endmacro %}

{#- The feature spaces that mart_axis1_multiverse scores by (definitions E.10): the signed one, the
    older one that mixes signed features with unsigned ones, and of that what SSIM is made of. -#}
{% macro feature_spaces() %}
    {{ return({
        'phi5': features(),
        'phi6': ['luminance', 'contrast', 'structure', 'decorrelation', 'gain', 'error'],
        'phi3': ['luminance', 'contrast', 'structure'],
    }) }}
{% endmacro %}

{#- What a restored block may have more or less of than its reference (definitions E.5). -#}
{% macro components() %}
    {{ return(['sharp', 'texture', 'hf', 'noise', 'block', 'block16', 'block4', 'ring', 'mu']) }}
{% endmacro %}

{#- The 24 columns of the published results file, in its order; `lpips` is measured only where
    weights are given. -#}
{% macro published_metrics() %}
    {{ return([
        'ssim', 'ms_ssim', 'psnr', 'lpips', 'sharpness', 'sharpness_diff_pct', 'contrast',
        'contrast_diff_pct', 'entropy', 'noise', 'edge_density', 'edge_diff_pct',
        'artifact_block', 'artifact_ringing', 'artifact_total', 'delta_e', 'high_freq_ratio',
        'texture_complexity', 'local_quality_mean', 'local_quality_std', 'local_quality_min',
        'histogram_corr', 'lab_L_mean', 'total_score',
    ]) }}
{% endmacro %}

{#- Published metrics that the file does not round. -#}
{% macro unrounded_metrics() %}
    {{ return(['artifact_total', 'high_freq_ratio', 'texture_complexity', 'lab_L_mean']) }}
{% endmacro %}

{#- Metrics of this project beside the published ones (definitions A.3, F.2). -#}
{% macro companion_metrics() %}
    {{ return([
        'mae', 'noise_sigma_immerkaer', 'noise_sigma_mad', 'blockiness_bef_8',
        'blockiness_ratio_8', 'blockiness_bef_16', 'blockiness_ratio_16', 'blockiness_bef_4',
        'blockiness_ratio_4', 'ringing_fr', 'fsds', 'haarpsi', 'repetition_strength',
    ]) }}
{% endmacro %}

{#- Metrics that a published rule reads. -#}
{% macro ruled_metrics() %}
    {{ return([
        'ssim', 'ms_ssim', 'psnr', 'lpips', 'sharpness', 'contrast', 'entropy', 'noise',
        'edge_density', 'artifact_total', 'delta_e', 'high_freq_ratio', 'texture_complexity',
        'local_quality_mean', 'local_quality_std', 'histogram_corr', 'total_score',
    ]) }}
{% endmacro %}

{#- The rules of `v2_current`, in their order; tested against the seed. -#}
{% macro current_rules() %}
    {%- set singles = [] -%}
    {%- for metric in [
        'ssim', 'ms_ssim', 'psnr', 'sharpness', 'contrast', 'entropy', 'edge_density',
        'high_freq_ratio', 'texture_complexity', 'local_quality_mean', 'histogram_corr',
        'lpips', 'noise', 'artifact_total', 'delta_e', 'local_quality_std',
    ] -%}
    {%- do singles.append('single_' ~ metric) -%}
    {%- endfor -%}
    {{ return(['P1', 'P2', 'P3', 'P4', 'P5', 'P6', 'P7', 'P8', 'P9'] + singles) }}
{% endmacro %}
