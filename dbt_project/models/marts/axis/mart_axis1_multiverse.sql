{#- The types of mart_axis1_types and the contrasts behind them, had the axis been chosen otherwise:
    which claims stand under every choice, and which under the one that was made. -#}
{%- set components = judged_components('notta') | list -%}
{%- set sides = type_sides() -%}
{%- set scored = {
    'standard-1': 'standard',
    'pooled': 'pooled',
}.get(scoring_basis()) -%}
with measured as (

    select * from {{ ref('int_choice_sides') }}

),

intervals as (

    select * from {{ ref('int_choice_intervals') }}

),

axes as (

    select * from {{ ref('int_choice_axes') }}

),

models as (

    select * from {{ ref('dim_models') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

scales as (

    select
        {%- for name in components %}
        max(robust_sd) filter (where component = '{{ name }}') as scale_{{ name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_direction_scales') }}

),

numbers as (

    {%- for choice in choices() %}
    select
        {{ choice.number }} as choice,
        '{{ choice.space }}' as feature_space,
        {{ choice.is_scaled }} as is_scaled,
        '{{ choice.basis }}' as basis,
        '{{ choice.origin }}' as origin
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

-- Also those that cannot be: their rows say why.
choices as (

    select
        spaces.feature_space,
        scalings.is_scaled,
        bases.basis,
        origins.origin,
        signs.axis_sign,
        numbers.choice
    from (select unnest({{ feature_spaces() | list }}) as feature_space) as spaces
    cross join (select unnest([true, false]) as is_scaled) as scalings
    cross join (select unnest({{ choice_bases() }}) as basis) as bases
    cross join (select unnest({{ choice_origins() }}) as origin) as origins
    cross join (select unnest(['anchored', 'returned']) as axis_sign) as signs
    left join numbers
        on spaces.feature_space = numbers.feature_space
        and scalings.is_scaled = numbers.is_scaled
        and bases.basis = numbers.basis
        and origins.origin = numbers.origin

),

summed as (

    select
        model_id,
        choice
        {%- for side in sides %},
        cast(sum({{ side }}_count_sharp) as bigint) as {{ side }}_count,
        least(
            {%- for name in components %}
            count(*) filter (where {{ side }}_count_{{ name }} > 0){{ ',' if not loop.last }}
            {%- endfor %}
        ) as {{ side }}_cluster_count
        {%- for name in components %},
        cast(sum({{ side }}_sum_{{ name }}) as double)
        / nullif(sum({{ side }}_count_{{ name }}), 0) as {{ side }}_{{ name }}
        {%- endfor %}
        {%- endfor %}
    from measured
    group by model_id, choice

),

spread as (

    select
        summed.model_id,
        summed.choice
        {%- for side in sides %},
        summed.{{ side }}_count,
        summed.{{ side }}_cluster_count
        {%- for name in components %},
        summed.{{ side }}_{{ name }} / scales.scale_{{ name }} as {{ side }}_{{ name }}
        {%- endfor %}
        {%- endfor %}
    from summed
    cross join scales

),

judged as (

    select
        model_id,
        choice
        {%- for side in sides %},
        {{ side }}_count,
        {{ side }}_cluster_count,
        {{ side }}_sharp as {{ side }}_sharpness,
        ({{ side }}_block - {{ side }}_texture) / 2 as {{ side }}_artefact,
        {{ side }}_noise
        {%- endfor %},
        least(positive_cluster_count, negative_cluster_count) as contrast_cluster_count,
        positive_sharp - negative_sharp as contrast_sharpness,
        (
            positive_ring - negative_ring
            + positive_block - negative_block
            - (positive_texture - negative_texture)
        ) / 3 as contrast_artefact
    from spread

),

ranged as (

    select
        judged.*
        {%- for side in sides + ['contrast'] %}
        {%- for level in type_levels() %}
        {%- for end in ['low', 'high'] %},
        {{ interval_end(
            'judged.' ~ side ~ '_' ~ level, 'intervals.' ~ side ~ '_' ~ level ~ '_' ~ end,
            'judged.' ~ side ~ '_cluster_count', side ~ '_limits'
        ) }} as {{ side }}_{{ level }}_{{ end }}
        {%- endfor %}
        {%- endfor %}
        {%- endfor %}
    from judged
    left join intervals
        on judged.model_id = intervals.model_id
        and judged.choice = intervals.choice
    {%- for side in sides + ['contrast'] %}
    left join limits as {{ side }}_limits
        on judged.{{ side }}_cluster_count - 1 = {{ side }}_limits.df
    {%- endfor %}

),

chosen as (

    select
        models.model_id,
        choices.*,
        axes.alignment,
        axes.eigenvalue_gap,
        axes.is_identifiable,
        choices.axis_sign = 'returned' and axes.is_flipped as is_turned
    from models
    cross join choices
    left join axes
        on models.model_id = axes.model_id
        and choices.feature_space = axes.feature_space
        and choices.is_scaled = axes.is_scaled
        and choices.basis = axes.basis

),

-- An axis turned over changes its sides, and every contrast's sign.
turned as (

    select
        chosen.*,
        ranged.contrast_cluster_count as cluster_count
        {%- for side, other in {'positive': 'negative', 'negative': 'positive'}.items() %}
        {%- for name in ['count', 'noise'] %},
        case
            when chosen.is_turned then ranged.{{ other }}_{{ name }}
            else ranged.{{ side }}_{{ name }}
        end as {{ side }}_{{ name }}
        {%- endfor %}
        {%- for level in type_levels() %}
        {%- for end in ['', '_low', '_high'] %}
        {%- set column = level ~ end %},
        case
            when chosen.is_turned then ranged.{{ other }}_{{ column }}
            else ranged.{{ side }}_{{ column }}
        end as {{ side }}_{{ column }}
        {%- endfor %}
        {%- endfor %}
        {%- endfor %}
        {%- for level in type_levels() %}
        {%- for end, opposite in {'': '', '_low': '_high', '_high': '_low'}.items() %},
        case
            when chosen.is_turned then -ranged.contrast_{{ level ~ opposite }}
            else ranged.contrast_{{ level ~ end }}
        end as contrast_{{ level ~ end }}
        {%- endfor %}
        {%- endfor %}
    from chosen
    left join ranged
        on chosen.model_id = ranged.model_id
        and chosen.choice = ranged.choice

),

conditions as (

    select
        *,
        {{ type_conditions() }},
        contrast_sharpness + contrast_artefact is not null as has_contrast
    from turned

),

typed as (

    select
        *,
        {{ axis1_type() }} as axis1_type
    from conditions

),

final as (

    select
        model_id,
        feature_space,
        is_scaled,
        basis,
        origin,
        axis_sign,
        {%- if scored %}
        feature_space = 'phi5' and is_scaled and basis = '{{ scored }}' and origin = 'zero'
        and axis_sign = 'anchored' as is_scoring,
        {%- else %}
        false as is_scoring,
        {%- endif %}
        axis1_type,
        case
            when not coalesce(is_identifiable and has_contrast, false) then 'not identifiable'
            when contrast_sharpness > 0 and contrast_artefact > 0 then 'A'
            when contrast_sharpness > 0 and contrast_artefact < 0 then 'B'
            else 'mixed'
        end as contrast_type,
        {{ is_type_supported() }} as is_supported,
        case
            when choice is null then 'this feature space has no standard basis'
            when positive_count is null then 'no block of this model was measured'
            else {{ type_reason() }}
        end as reason,
        coalesce(is_turned, false) as is_turned,
        cluster_count,
        positive_count,
        negative_count
        {%- for side in sides + ['contrast'] %}
        {%- for level in type_levels() %},
        {{ side }}_{{ level }},
        {{ side }}_{{ level }}_low,
        {{ side }}_{{ level }}_high
        {%- endfor %}
        {%- endfor %},
        positive_noise,
        alignment as own_axis_alignment,
        eigenvalue_gap
    from typed

)

select * from final
