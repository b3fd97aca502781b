{#- Type A: axis-positive blocks had artefacts added, axis-negative ones lost sharpness. Type B:
    axis-positive blocks gained sharpness, axis-negative ones had artefacts added. The types are
    published without formulas; this rule is [OWN]. Polarity and components come from the same
    pixels, so that one side has more than the other proves nothing: each side must have changed by
    itself, mean and interval on the stated side of 0. Ringing is never negative and says nothing of
    a side alone. All in robust spreads. -#}
{%- set judged = ['sharp', 'texture', 'noise', 'block', 'ring'] -%}
{%- set contrasted = ['sharp', 'texture', 'block', 'ring'] -%}
{%- set sides = type_sides() -%}
{%- set levels = type_levels() -%}
{#- Within the factor either way. -#}
{%- set is_near -%}
    paired.nearest.error_dn2 between judged.error_dn2 / {{ constant('control_factor') }}
        and judged.error_dn2 * {{ constant('control_factor') }}
    and not judged.is_control
{%- endset -%}
with components as (

    select * from {{ ref('mart_direction_components') }}

),

replicates as (

    select * from {{ ref('int_direction_replicates') }}

),

scales as (

    select
        {%- for name in judged %}
        max(robust_sd) filter (where component = '{{ name }}') as scale_{{ name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_direction_scales') }}

),

bases as (

    select * from {{ ref('mart_pca_basis') }}

),

models as (

    select * from {{ ref('dim_models') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

means as (

    select * from {{ ref('mart_model_means') }}

),

errors as (

    select
        model_id,
        mean as error_dn2
    from means
    where source_id = 'images'
        and inference_path = 'notta'
        and quantity = 'mse_dn2'
        and subgroup_kind = 'all'

),

axes as (

    select
        models.model_id,
        any_value(own.alignment) as alignment,
        any_value(own.eigenvalue_gap) as own_eigenvalue_gap,
        any_value(shared.eigenvalue_gap) as eigenvalue_gap,
        any_value(shared.is_identifiable) as is_identifiable
    from models
    left join bases as own on own.basis_id = 'model:' || models.model_id and own.pc_number = 1
    left join bases as shared on shared.is_scoring and shared.pc_number = 1
    group by models.model_id

),

-- One row per model and side.
sides as (

    select
        model_id,
        polarity,
        max(cluster_unit) as cluster_unit,
        min(cluster_count) as cluster_count,
        max(block_count) as block_count
        {%- for name in judged %},
        max(standardised_mean) filter (where component = '{{ name }}') as mean_{{ name }}
        {%- endfor %},
        max(mean_low / robust_sd) filter (where component = 'block') as block_low,
        max(mean_high / robust_sd) filter (where component = 'texture') as texture_high,
        max(mean_low / robust_sd) filter (where component = 'noise') as noise_low
    from components
    where polarity in ('positive', 'negative')
        and component in (
            {%- for name in judged %}'{{ name }}'{{ ', ' if not loop.last }}{% endfor -%}
        )
    group by model_id, polarity

),

compared as (

    select
        coalesce(positive.model_id, negative.model_id) as model_id,
        coalesce(positive.cluster_unit, negative.cluster_unit) as cluster_unit,
        least(positive.cluster_count, negative.cluster_count) as cluster_count,
        positive.cluster_count as positive_cluster_count,
        negative.cluster_count as negative_cluster_count,
        positive.block_count as positive_count,
        negative.block_count as negative_count
        {%- for side in sides %}
        {%- for level, sql in levels.items() %},
        {{ sql | replace('mean_', side ~ '.mean_') }} as {{ side }}_{{ level }}
        {%- endfor %}
        {%- endfor %},
        positive.mean_noise as positive_noise,
        positive.mean_texture as positive_texture,
        positive.block_low,
        positive.texture_high,
        positive.noise_low
        {%- for name in contrasted %},
        positive.mean_{{ name }} - negative.mean_{{ name }} as contrast_{{ name }}
        {%- endfor %},
        (
            positive.mean_ring - negative.mean_ring
            + positive.mean_block - negative.mean_block
            - (positive.mean_texture - negative.mean_texture)
        ) / 3 as contrast_artefact
    from (select * from sides where polarity = 'positive') as positive
    full join (select * from sides where polarity = 'negative') as negative
        on positive.model_id = negative.model_id

),

standardised as (

    select
        replicates.model_id,
        replicates.polarity,
        replicates.replicate
        {%- for name in judged %},
        replicates.mean_{{ name }} / scales.scale_{{ name }} as mean_{{ name }}
        {%- endfor %}
    from replicates
    cross join scales

),

level_ends as (

    select
        model_id
        {%- for side in sides %}
        {%- for level, sql in levels.items() %},
        {{ percentile_ends(sql, side ~ '_' ~ level, "polarity = '" ~ side ~ "'") }}
        {%- endfor %}
        {%- endfor %}
    from standardised
    group by model_id

),

replicate_contrasts as (

    select
        positive.model_id,
        positive.replicate
        {%- for name in contrasted %},
        positive.mean_{{ name }} - negative.mean_{{ name }} as contrast_{{ name }}
        {%- endfor %}
    from standardised as positive
    inner join standardised as negative
        on positive.model_id = negative.model_id
        and positive.replicate = negative.replicate
    where positive.polarity = 'positive' and negative.polarity = 'negative'

),

contrast_ends as (

    select
        model_id,
        {{ percentile_ends('contrast_sharp', 'sharpness') }},
        {{ percentile_ends(
            '(contrast_ring + contrast_block - contrast_texture) / 3', 'artefact'
        ) }},
        {{ percentile_ends('contrast_ring', 'ring') }}
    from replicate_contrasts
    group by model_id

),

judged as (

    select
        models.model_id,
        models.is_control,
        errors.error_dn2
    from models
    left join errors on models.model_id = errors.model_id

),

-- Of the controls that have both sides, the one whose error is nearest, as a ratio.
paired as (

    select
        judged.model_id,
        arg_min(
            {'model_id': controls.model_id, 'error_dn2': controls.error_dn2},
            {
                'distance': abs(ln(judged.error_dn2 / controls.error_dn2)),
                'model_id': controls.model_id
            }
        ) as nearest
    from judged
    inner join judged as controls on controls.is_control
    inner join compared on controls.model_id = compared.model_id
    where judged.error_dn2 > 0
        and controls.error_dn2 > 0
        and compared.contrast_sharp is not null
        and compared.contrast_artefact is not null
    group by judged.model_id

),

matched as (

    select
        judged.model_id,
        judged.error_dn2,
        case when {{ is_near }} then paired.nearest.model_id end as control_model_id,
        case when {{ is_near }} then paired.nearest.error_dn2 end as control_error_dn2,
        case
            when judged.is_control then 'a control itself'
            when judged.error_dn2 is null then 'no error was measured'
            when judged.error_dn2 = 0 then 'its error is 0: no control is near'
            when paired.nearest is null then 'the study has no control with two sides'
            when not ({{ is_near }}) then 'no control has an error within a factor of two'
        end as no_control_reason
    from judged
    left join paired on judged.model_id = paired.model_id

),

-- Contrasts less those of the control: both under the same draws.
excess_ends as (

    select
        matched.model_id,
        {{ percentile_ends(
            'own.contrast_sharp - control.contrast_sharp', 'excess_sharpness'
        ) }},
        {{ percentile_ends(
            '(own.contrast_ring - control.contrast_ring'
            ~ ' + own.contrast_block - control.contrast_block'
            ~ ' - (own.contrast_texture - control.contrast_texture)) / 3',
            'excess_artefact'
        ) }}
    from matched
    inner join replicate_contrasts as own on matched.model_id = own.model_id
    inner join replicate_contrasts as control
        on matched.control_model_id = control.model_id
        and own.replicate = control.replicate
    group by matched.model_id

),

exceeding as (

    select
        matched.*,
        least(compared.cluster_count, control.cluster_count) as excess_cluster_count,
        compared.contrast_sharp - control.contrast_sharp as excess_sharpness,
        compared.contrast_artefact - control.contrast_artefact as excess_artefact
    from matched
    left join compared on matched.model_id = compared.model_id
    left join compared as control on matched.control_model_id = control.model_id

),

evidence as (

    select
        axes.*,
        exceeding.* exclude (model_id),
        {%- for level in levels %}
        {%- for end in ['low', 'high'] %}
        {%- set name = 'excess_' ~ level %}
        {{ interval_end(
            'exceeding.' ~ name, 'excess_ends.' ~ name ~ '_' ~ end,
            'exceeding.excess_cluster_count', 'excess_limits'
        ) }} as {{ name }}_{{ end }},
        {%- endfor %}
        {%- endfor %}
        compared.* exclude (model_id)
        {%- for side in sides %}
        {%- for level in levels %}
        {%- for end in ['low', 'high'] %},
        {{ interval_end(
            'compared.' ~ side ~ '_' ~ level, 'level_ends.' ~ side ~ '_' ~ level ~ '_' ~ end,
            'compared.' ~ side ~ '_cluster_count', side ~ '_limits'
        ) }} as {{ side }}_{{ level }}_{{ end }}
        {%- endfor %}
        {%- endfor %}
        {%- endfor %}
        {%- for contrast, estimate in {
            'sharpness': 'compared.contrast_sharp',
            'artefact': 'compared.contrast_artefact',
            'ring': 'compared.contrast_ring',
        }.items() %}
        {%- for end in ['low', 'high'] %},
        {{ interval_end(
            estimate, 'contrast_ends.' ~ contrast ~ '_' ~ end, 'compared.cluster_count', 'limits'
        ) }} as {{ contrast }}_{{ end }}
        {%- endfor %}
        {%- endfor %}
    from axes
    left join exceeding on axes.model_id = exceeding.model_id
    left join excess_ends on axes.model_id = excess_ends.model_id
    left join limits as excess_limits
        on exceeding.excess_cluster_count - 1 = excess_limits.df
    left join compared on axes.model_id = compared.model_id
    left join level_ends on axes.model_id = level_ends.model_id
    left join contrast_ends on axes.model_id = contrast_ends.model_id
    left join limits on compared.cluster_count - 1 = limits.df
    {%- for side in sides %}
    left join limits as {{ side }}_limits
        on compared.{{ side }}_cluster_count - 1 = {{ side }}_limits.df
    {%- endfor %}

),

conditions as (

    select
        *,
        {{ type_conditions() }},
        contrast_sharp + contrast_texture + contrast_block + contrast_ring is not null
            as has_contrast
    from evidence

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
        axis1_type,
        {{ is_type_supported() }} as is_supported,
        {{ type_reason() }} as reason,
        case
            when positive_cluster_count >= {{ var('min_clusters') }}
                then concat_ws(
                    ', ',
                    case when block_low > 0 then 'blocking' end,
                    case when ring_low > 0 then 'ringing' end,
                    case when texture_high < 0 then 'texture lost' end,
                    case when noise_low > 0 then 'noise' end
                )
        end as positive_artefacts,
        cluster_unit,
        cluster_count,
        positive_count,
        negative_count
        {%- for side in sides %}
        {%- for level in levels %},
        {{ side }}_{{ level }},
        {{ side }}_{{ level }}_low,
        {{ side }}_{{ level }}_high
        {%- endfor %}
        {%- endfor %},
        positive_noise,
        positive_texture,
        contrast_sharp,
        sharpness_low,
        sharpness_high,
        contrast_artefact,
        artefact_low,
        artefact_high,
        contrast_texture,
        contrast_block,
        contrast_ring,
        error_dn2,
        control_model_id,
        control_error_dn2,
        no_control_reason,
        {%- for level in levels %}
        excess_{{ level }},
        excess_{{ level }}_low,
        excess_{{ level }}_high,
        {%- endfor %}
        alignment as own_axis_alignment,
        eigenvalue_gap,
        own_eigenvalue_gap
    from typed

)

select * from final
