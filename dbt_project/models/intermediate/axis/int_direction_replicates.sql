{#- Mean of every component under each bootstrap replicate. Weighted sums are exact decimals, so
    a replicate's mean does not depend on the order of addition. -#}
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

    select
        clustered.model_id,
        clustered.polarity,
        draws.replicate
        {%- for component in components() %},
        cast(sum(draws.weight * clustered.sum_{{ component }}) as double)
        / nullif(sum(draws.weight * clustered.count_{{ component }}), 0) as mean_{{ component }}
        {%- endfor %}
    from clustered
    inner join draws on clustered.cluster_id = draws.cluster_id
    group by clustered.model_id, clustered.polarity, draws.replicate

)

select * from final
