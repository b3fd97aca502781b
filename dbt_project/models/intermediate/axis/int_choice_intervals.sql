{#- Percentiles of what types are judged by, under every choice, over the bootstrap of
    int_cluster_draws, in robust spreads. A replicate's sums are dot products of its weights and the
    patients' sums, in the order of patients: far fewer rows than a join of the two. -#}
{%- set used = ['sharp', 'texture', 'block', 'ring'] -%}
with sides as (

    select * from {{ ref('int_choice_sides') }}

),

draws as (

    select * from {{ ref('int_cluster_draws') }}

),

scales as (

    select
        {%- for name in used %}
        max(robust_sd) filter (where component = '{{ name }}') as scale_{{ name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_direction_scales') }}

),

patients as (

    select distinct cluster_id from sides

),

replicates as (

    select
        draws.replicate,
        list(coalesce(weights.weight, 0) order by patients.cluster_id) as weights
    from (select distinct replicate from draws) as draws
    cross join patients
    left join draws as weights
        on draws.replicate = weights.replicate
        and patients.cluster_id = weights.cluster_id
    group by draws.replicate

),

listed as (

    select
        models.model_id,
        models.choice
        {%- for side in type_sides() %}
        {%- for name in used %}
        {%- for kind in ['count', 'sum'] %}
        {%- set column = side ~ '_' ~ kind ~ '_' ~ name %},
        list(coalesce(cast(sides.{{ column }} as double), 0) order by patients.cluster_id)
            as {{ column }}
        {%- endfor %}
        {%- endfor %}
        {%- endfor %}
    from (select distinct model_id, choice from sides) as models
    cross join patients
    left join sides
        on models.model_id = sides.model_id
        and models.choice = sides.choice
        and patients.cluster_id = sides.cluster_id
    group by models.model_id, models.choice

),

resampled as (

    select
        listed.model_id,
        listed.choice
        {%- for side in type_sides() %}
        {%- for name in used %},
        list_dot_product(replicates.weights, listed.{{ side }}_sum_{{ name }})
        / nullif(list_dot_product(replicates.weights, listed.{{ side }}_count_{{ name }}), 0)
        / scales.scale_{{ name }} as {{ side }}_{{ name }}
        {%- endfor %}
        {%- endfor %}
    from listed
    cross join replicates
    cross join scales

),

judged as (

    select
        model_id,
        choice,
        {%- for side in type_sides() %}
        {{ side }}_sharp as {{ side }}_sharpness,
        ({{ side }}_block - {{ side }}_texture) / 2 as {{ side }}_artefact,
        {%- endfor %}
        positive_sharp - negative_sharp as contrast_sharpness,
        (
            positive_ring - negative_ring
            + positive_block - negative_block
            - (positive_texture - negative_texture)
        ) / 3 as contrast_artefact
    from resampled

),

final as (

    select
        model_id,
        choice
        {%- for side in type_sides() + ['contrast'] %}
        {%- for level in type_levels() %},
        {{ percentile_ends(side ~ '_' ~ level, side ~ '_' ~ level) }}
        {%- endfor %}
        {%- endfor %}
    from judged
    group by model_id, choice

)

select * from final
