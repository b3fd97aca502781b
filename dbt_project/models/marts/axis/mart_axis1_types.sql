{#- Type A: axis-positive blocks carry artefacts, axis-negative ones lost sharpness. Type B: axis-
    positive blocks gained sharpness, artefacts lie on the negative side. The types are published
    without formulas; this rule is [OWN]. Contrasts are mean over axis-positive minus mean over
    axis-negative blocks, each component in units of its robust spread. -#}
{%- set judged = ['sharp', 'texture', 'block', 'ring'] -%}
{%- set minimum_alignment = 0.9 -%}
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

axes as (

    select
        models.model_id,
        any_value(own.alignment) as alignment,
        any_value(own.eigenvalue_gap) as own_eigenvalue_gap,
        any_value(shared.eigenvalue_gap) as eigenvalue_gap,
        any_value(shared.is_identifiable) as is_identifiable
    from models
    left join bases as own on own.basis_id = 'model:' || models.model_id and own.component = 1
    left join bases as shared on shared.is_scoring and shared.component = 1
    group by models.model_id

),

contrasts as (

    select
        model_id,
        max(cluster_unit) as cluster_unit,
        min(cluster_count) as cluster_count,
        max(block_count) filter (where polarity = 'positive') as positive_count,
        max(block_count) filter (where polarity = 'negative') as negative_count,
        max(standardised_mean) filter (where polarity = 'negative' and component = 'sharp')
            as negative_sharpness
        {%- for name in judged %},
        max(standardised_mean) filter (where polarity = 'positive' and component = '{{ name }}')
        - max(standardised_mean) filter (where polarity = 'negative' and component = '{{ name }}')
            as contrast_{{ name }}
        {%- endfor %}
    from components
    where polarity in ('positive', 'negative')
    group by model_id

),

replicate_contrasts as (

    select
        positive.model_id,
        negative.mean_sharp / scales.scale_sharp as negative_sharpness
        {%- for name in judged %},
        (positive.mean_{{ name }} - negative.mean_{{ name }}) / scales.scale_{{ name }}
            as contrast_{{ name }}
        {%- endfor %}
    from replicates as positive
    inner join replicates as negative
        on positive.model_id = negative.model_id
        and positive.replicate = negative.replicate
    cross join scales
    where positive.polarity = 'positive' and negative.polarity = 'negative'

),

intervals as (

    select
        model_id,
        quantile_cont(contrast_sharp, 0.025) as sharpness_low,
        quantile_cont(contrast_sharp, 0.975) as sharpness_high,
        quantile_cont((contrast_ring + contrast_block - contrast_texture) / 3, 0.025)
            as artefact_low,
        quantile_cont((contrast_ring + contrast_block - contrast_texture) / 3, 0.975)
            as artefact_high,
        quantile_cont(negative_sharpness, 0.975) as negative_sharpness_high
    from replicate_contrasts
    group by model_id

),

compared as (

    select
        *,
        (contrast_ring + contrast_block - contrast_texture) / 3 as contrast_artefact
    from contrasts

),

evidence as (

    select
        axes.*,
        compared.* exclude (model_id),
        {%- for name, estimate in {
            'sharpness_low': 'compared.contrast_sharp',
            'sharpness_high': 'compared.contrast_sharp',
            'artefact_low': 'compared.contrast_artefact',
            'artefact_high': 'compared.contrast_artefact',
            'negative_sharpness_high': 'compared.negative_sharpness',
        }.items() %}
        {{ interval_end(estimate, 'intervals.' ~ name, 'compared.cluster_count', 'limits') }}
            as {{ name }},
        {%- endfor %}
        greatest(
            {%- for name in judged %}
            abs(compared.contrast_{{ name }}){{ ',' if not loop.last }}
            {%- endfor %}
        ) as contrast_largest
    from axes
    left join compared on axes.model_id = compared.model_id
    left join intervals on axes.model_id = intervals.model_id
    left join limits on compared.cluster_count - 1 = limits.df

),

typed as (

    select
        *,
        case
            when is_identifiable is distinct from true then 'not identifiable'
            when alignment is null or alignment < {{ minimum_alignment }} then 'not identifiable'
            when contrast_largest is null then 'not identifiable'
            when
                contrast_artefact > 0
                and negative_sharpness < 0
                and contrast_largest in (contrast_ring, contrast_block, -contrast_texture)
                then 'A'
            when contrast_artefact < 0 and contrast_sharp = contrast_largest then 'B'
            else 'mixed'
        end as axis1_type
    from evidence

),

final as (

    select
        model_id,
        axis1_type,
        case axis1_type
            when 'A' then artefact_low > 0 and negative_sharpness_high < 0
            when 'B' then sharpness_low > 0 and artefact_high < 0
        end as is_supported,
        case
            when is_identifiable is distinct from true
                then 'the basis that scores has no identifiable first axis'
            when alignment is null then 'no block of this model was measured'
            when contrast_largest is null
                then 'no contrast: a polarity has no block, or a component no spread'
            when alignment < {{ minimum_alignment }}
                then 'the model''s own first axis is not the one that scores'
            when axis1_type = 'A' then 'artefacts lead on the positive side, blur on the negative'
            when axis1_type = 'B'
                then 'sharpness leads on the positive side, artefacts on the negative'
            else 'neither pattern holds in full'
        end as reason,
        cluster_unit,
        cluster_count,
        positive_count,
        negative_count,
        contrast_sharp,
        sharpness_low,
        sharpness_high,
        contrast_artefact,
        artefact_low,
        artefact_high,
        contrast_texture,
        contrast_block,
        contrast_ring,
        negative_sharpness,
        negative_sharpness_high,
        alignment as own_axis_alignment,
        eigenvalue_gap,
        own_eigenvalue_gap
    from typed

)

select * from final
