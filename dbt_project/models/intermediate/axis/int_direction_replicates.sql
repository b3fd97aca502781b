{#- Mean of every component under each bootstrap replicate. -#}
{%- set ratios = {} -%}
{%- for component in components() -%}
{%- do ratios.update({'mean_' ~ component: ['sum_' ~ component, 'count_' ~ component]}) -%}
{%- endfor -%}
with images as (

    select * from {{ ref('int_image_directions') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

draws as (

    select * from {{ ref('int_cluster_draws') }}

),

clustered as (

    select
        images.model_id,
        images.polarity,
        clusters.cluster_id
        {%- for component in components() %},
        sum(images.count_{{ component }}) as count_{{ component }},
        sum(images.sum_{{ component }}) as sum_{{ component }}
        {%- endfor %}
    from images
    inner join clusters on images.image_id = clusters.image_id
    group by images.model_id, images.polarity, clusters.cluster_id

),

final as (

    {{ resampled(['model_id', 'polarity'], ratios) }}

)

select * from final
