{#- What each choice's two sides add up to, patient by patient. -#}
{%- set components = judged_components('notta') | list -%}
{%- set sides = {'positive': 2, 'negative': 0} -%}
with images as (

    select * from {{ ref('int_image_polarities') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

choices as (

    select
        unnest(range(0, {{ choices() | length }})) as choice,
        unnest([
            {%- for choice in choices() %}{{ 3 ** choice.number }}{{ ', ' if not loop.last }}
            {%- endfor -%}
        ]) as unit

),

sided as (

    select
        images.model_id,
        clusters.cluster_id,
        clusters.cluster_unit,
        choices.choice,
        images.polarities // choices.unit % 3 as side
        {%- for name in components %},
        sum(images.count_{{ name }}) as count_{{ name }},
        sum(images.sum_{{ name }}) as sum_{{ name }}
        {%- endfor %}
    from images
    inner join clusters on images.image_id = clusters.image_id
    cross join choices
    group by
        images.model_id, clusters.cluster_id, clusters.cluster_unit, choices.choice,
        images.polarities // choices.unit % 3

),

final as (

    select
        model_id,
        cluster_id,
        cluster_unit,
        choice
        {%- for side, digit in sides.items() %}
        {%- for name in components %},
        cast(coalesce(sum(count_{{ name }}) filter (where side = {{ digit }}), 0) as bigint)
            as {{ side }}_count_{{ name }},
        coalesce(sum(sum_{{ name }}) filter (where side = {{ digit }}), 0)
            as {{ side }}_sum_{{ name }}
        {%- endfor %}
        {%- endfor %}
    from sided
    group by model_id, cluster_id, cluster_unit, choice

)

select * from final
