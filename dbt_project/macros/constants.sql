{#- Constants that decide a number stand here and nowhere else in the SQL; `dim_constants` publishes
    them. A study's own choices are its parameters, and the thresholds of published rules are the
    seed `rule_clauses`. -#}

{#- Result: by name, `value` (a number, or SQL of one), `unit` (none: dimensionless), `section` of
    docs/definitions.md, `is_own` (this project's choice; else published), and what it `decides`.
    A share that whole numbers are held against is in per cent, so that no double comes in. -#}
{% macro constants() %}
    {%- set found = {} -%}
    {%- for name, value, unit, section, is_own, decides in [
        ('ssim_c1', 6.5025, 'dn2', 'B.1', false,
            'Steadies the luminance term of block SSIM: (0.01 * 255)^2.'),
        ('ssim_c2', 58.5225, 'dn2', 'B.1', false,
            'Steadies contrast and structure of block SSIM: (0.03 * 255)^2.'),
        ('rounding_variance', 'cast(1.0 as double) / 12', 'dn2', 'E.3', true,
            'Variance of rounding to 8 bits: added to the energies of a gain, and what rounding'
            ~ ' alone puts into invented.'),
        ('silent_pct', 95, 'pct', 'E.2', true,
            'A block is silent where SSIM keeps this much of 1 whatever the structure: the share'
            ~ ' of ssim_c2 in ssim_c2 and both variances, at least.'),
        ('dark_factor', 10, none, 'E.2', true,
            'A reference block is dark, for is_lum_over, where its squared mean is below so many'
            ~ ' ssim_c1.'),
        ('lum_over_pct', 5, 'pct', 'E.2', true,
            'is_lum_over: the luminance term of a dark block loses more.'),
        ('lum_under_dn', 5, 'dn', 'E.2', true,
            'is_lum_under: the means of reference and restored differ by so much or more.'),
        ('lum_under_pct', 1, 'pct', 'E.2', true,
            'is_lum_under: the luminance term loses so much or less.'),
        ('masked_pct', 75, 'pct', 'E.2', true,
            'Quantile of the squared error of the notta blocks of a model, beyond which a block is'
            ~ ' masked: mse_q75_dn2.'),
        ('anchor_loading', 0.2, none, 'E.4', true,
            'An axis is turned by its loading on the contrast feature, unless that is smaller.'),
        ('eigenvalue_gap', 1.05, none, 'E.4', true,
            'First over second eigenvalue below which an axis is not identifiable.'),
        ('least_variance', 1e-12, none, 'E.4', true,
            'Variance at or below which a feature is constant, and counts for no axis.'),
        ('minimum_alignment', 0.9, none, 'E.4', true,
            '|cos| of two first axes below which they are not the same: no type is stated, and the'
            ~ ' build warns.'),
        ('grain_factor', 2, none, 'E.4', true,
            'What the positive side gained is grain, so no type B, where noise is beyond so many'
            ~ ' times its sharpness.'),
        ('control_factor', 2, none, 'E.4', true,
            'A control is compared with a model whose error is within this factor of its own.'),
        ('axis1_bins', 10, none, 'E.1', true,
            'Bins of mart_axis1_distribution in a unit of axis1.'),
        ('normal_iqr', 1.349, none, 'E.5', true,
            'Interquartile range of a normal distribution in standard deviations: by it a range'
            ~ ' becomes a robust spread.'),
        ('direction_spreads', 2, 'robust spreads', 'E.5', true,
            'A block went wrong in a direction where the component is beyond so many.'),
        ('tau_pct', 95, 'pct', 'E.6', true,
            'Quantile of abs(pc1) over the notta blocks of the axis models: tau, beyond which a'
            ~ ' block is extreme.'),
        ('hidden_pct', 90, 'pct', 'E.6', false,
            'Quantile of local_ssim over the notta blocks of a model from which on a block is'
            ~ ' hidden: ssim_p90.'),
        ('interval_pct', 95, 'pct', 'D.4', true,
            'Confidence of every interval, two-sided.'),
        ('normal_limit', 1.959963984540054, none, 'D.4', true,
            'Two-sided point of the normal distribution at interval_pct.'),
        ('least_tested', 15, 'patients', 'D.4', true,
            'Patients, or images without one, from which on a mean difference is tested: on fewer'
            ~ ' no correction of t for skewness holds.'),
        ('significance', 0.05, none, 'D.5', true,
            'p after the correction of Holm below which figures and report call a difference'
            ~ ' shown.'),
        ('most_paired', 20, 'models', 'D.5', true,
            'So many models of a source are compared each with each; of more, each with the'
            ~ ' baseline.'),
        ('interior_ring', 4, 'blocks', 'D.3', true,
            'Distance from the frame at which the interior begins.'),
        ('profiled_rings', 16, 'blocks', 'D.3', true,
            'Rings from the frame inwards that have an interval: as far as the padding of a'
            ~ ' network plausibly reaches.'),
        ('seam_reach', 8, 'blocks', 'D.4', true,
            'Blocks this far from the nearest seam, or farther, count as elsewhere.'),
        ('lfv_pct', 25, 'pct', 'D.1', false,
            'Quantile of the worst block SSIM below which an image is a case of local fidelity'
            ~ ' violation.'),
        ('boundary_pct', 25, 'pct', 'D.1', false,
            'Share of the rows or columns from each side that is the boundary zone.'),
        ('boundary_published', 0.75, none, 'D.1', false,
            'Share of the worst blocks that the published test expects in the boundary zone.'),
        ('texture_strong', -0.7, none, 'D.1', false,
            'Correlation of texture and worst block SSIM below which the dependency is Strong.'),
        ('texture_moderate', -0.5, none, 'D.1', false,
            'The same for Moderate.'),
        ('bias_strong', 0.7, none, 'D.1', false,
            'Boundary bias index above which, with bias_strong_p, the dependency is Strong.'),
        ('bias_strong_p', 0.001, none, 'D.1', false,
            'p below which, with bias_strong, the dependency is Strong.'),
        ('bias_moderate', 0.5, none, 'D.1', false,
            'Boundary bias index above which, with bias_moderate_p, the dependency is Moderate.'),
        ('bias_moderate_p', 0.05, none, 'D.1', false,
            'p below which, with bias_moderate, the dependency is Moderate.'),
        ('verdict_high', 5, 'rules', 'C.1', false,
            'Rules that fire on an image from which on the confidence is High.'),
        ('verdict_medium', 3, 'rules', 'C.1', false,
            'The same for Medium.'),
        ('verdict_low', 1, 'rules', 'C.1', false,
            'The same for Low; below, it is Normal.'),
        ('repetition_limit', 1.4, none, 'A.4', true,
            'Strength of repetition from which on an image repeats: is_repeated.'),
        ('frc_low', 0.5, none, 'E.11', false,
            'Correlation of a ring below which a patch agrees no more: frc50_end.'),
        ('frc_high', 0.75, none, 'E.11', false,
            'The same for frc75_end.'),
        ('ranked_level', 10, 'shams in 1,000', 'E.12', true,
            'False alarms at which detectors are ranked and mart_detectors has its sensitivity.'),
        ('free_response_tile', 8, 'blocks', 'E.12', true,
            'Side of the tile that counts as one place, and as one false positive.'),
        ('kept_transfer', 0.8, none, 'E.12', true,
            'Share of a signal from which on a place has kept it: kept_count.'),
        ('site_share', 0.05, none, 'E.12', true,
            'A block is of a site where the shape drawn has this share of the energy of its'
            ~ ' strongest block. Decided when it is drawn.'),
        ('most_permuted', 200, 'patients', 'E.16', true,
            'Up to so many patients whose calls changed, flips of a reader are tested by all signs'
            ~ ' that the changes might have had; of more by the limit, chi-square.'),
        ('background_dn', 32, 'dn', 'E.13', true,
            'Mean up to which a block may be background. Decided at ingest.'),
        ('background_dn2', 25, 'dn2', 'E.13', true,
            'Variance up to which a block may be background. Decided at ingest.'),
        ('trust_part_dn2', 9, 'dn2', 'E.15', true,
            'A block is truly bad, in the losses invented and lost, where that part of its squared'
            ~ ' error is larger: 3 grey levels throughout.'),
        ('trust_levels', 64, 'limits', 'E.15', true,
            'Limits of the grid on which a trust mask is chosen.'),
        ('trust_octaves', 8, none, 'E.15', true,
            'Logarithm to base 2 of the largest of them in dn, beyond every score.'),
        ('trust_steps', 4, 'limits', 'E.15', true,
            'Limits from one of them, in dn, to its double.'),
        ('trust_alpha_1', 0.01, none, 'E.15', true,
            'Share of the truly bad blocks of a new patient that a trust mask may miss: alpha.'),
        ('trust_alpha_2', 0.05, none, 'E.15', true, 'Another alpha.'),
        ('trust_alpha_3', 0.1, none, 'E.15', true, 'Another alpha.'),
        ('trust_alpha_4', 0.2, none, 'E.15', true, 'Another alpha.'),
    ] -%}
    {%- do found.update({name: {
        'value': value,
        'unit': unit,
        'section': section,
        'is_own': is_own,
        'decides': decides,
    }}) -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{#- Argument: a name of `constants`. Result: its value; another name is refused. -#}
{% macro constant(name) %}
    {%- set known = constants() -%}
    {%- if name not in known -%}
    {{ exceptions.raise_compiler_error(
        'constant(' ~ name ~ ') is not known: expected one of ' ~ known | join(', ')
        ~ '; declare it in macros/constants.sql'
    ) }}
    {%- endif -%}
    {{ return(known[name].value) }}
{% endmacro %}

{#- Those that are reckoned with in double precision: a literal of their digits is a DECIMAL. -#}
{% macro ssim_c1() %}cast({{ constant('ssim_c1') }} as double){% endmacro %}
{% macro ssim_c2() %}cast({{ constant('ssim_c2') }} as double){% endmacro %}
{% macro rounding_variance() %}({{ constant('rounding_variance') }}){% endmacro %}

{#- Both variances of a silent block, so many times over, are at most ssim_c2. Result: a whole
    number. -#}
{% macro silent_factor() -%}
    {{ constant('silent_pct') // (100 - constant('silent_pct')) }}
{%- endmacro %}

{#- Result: by `low` and `high`, the shares of a distribution below the ends of an interval. -#}
{% macro interval_ends() %}
    {%- set tail = (100 - constant('interval_pct')) / 200 -%}
    {{ return({'low': tail, 'high': 1 - tail}) }}
{% endmacro %}

{#- From a table of values with running counts, the values up to which a share of the blocks lies.
    Argument: that share in per cent. Result: a condition, of whole numbers. -#}
{% macro reaches(share_pct) -%}
    100 * blocks_so_far >= {{ share_pct }} * blocks_in_all
{%- endmacro %}
