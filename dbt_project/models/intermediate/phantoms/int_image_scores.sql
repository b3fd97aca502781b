{#- What each metric of an image says of those copies, read as more and as less of it. -#}
with drawn as (

    select * from {{ ref('int_drawn_images') }}

),

quality as (

    select * from {{ ref('fct_image_quality') }}
    where source_id = 'images'

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

listed as (

    select
        drawn.model_id,
        drawn.inference_path,
        drawn.image_id,
        drawn.arm,
        drawn.kind,
        drawn.contrast_dn,
        clusters.cluster_id,
        clusters.cluster_unit,
        unnest([
            {%- for metric in published_metrics() + companion_metrics() %}
            {'detector': '{{ metric }}', 'score': cast(quality.{{ metric }} as double)}
            {{- ',' if not loop.last }}
            {%- endfor %}
        ]) as item
    from drawn
    inner join quality
        on drawn.model_id = quality.model_id
        and drawn.inference_path = quality.inference_path
        and drawn.image_id = quality.image_id
    inner join clusters on drawn.source_image_id = clusters.image_id

),

final as (

    select
        listed.model_id,
        listed.inference_path,
        listed.image_id,
        listed.arm,
        listed.kind,
        'full' as signal_part,
        listed.contrast_dn,
        listed.cluster_id,
        listed.cluster_unit,
        listed.item.detector as detector,
        readings.reading,
        readings.sign * listed.item.score as score
    from listed
    cross join (values ('value', 1), ('negated', -1)) as readings (reading, sign)
    where listed.item.score is not null

)

select * from final
