{#- How much worse the outermost ring is than the interior (definitions D.3), in fixed point so
    that sums over images are exact; and how much more so than in the baseline's notta image, which
    is not compared with itself. -#}
with rings as (

    select * from {{ ref('int_image_rings') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

),

summed as (

    {%- for path in inference_paths() %}
    select
        model_id,
        '{{ path }}' as inference_path,
        image_id,
        sum(sum_{{ path }}) filter (where ring = 0) as frame_sum,
        sum(count_{{ path }}) filter (where ring = 0) as frame_count,
        sum(sum_{{ path }}) filter (where ring >= {{ constant('interior_ring') }})
            as interior_sum,
        sum(count_{{ path }}) filter (where ring >= {{ constant('interior_ring') }})
            as interior_count
    from rings
    group by model_id, image_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

deficits as (

    select
        model_id,
        inference_path,
        image_id,
        cast(
            cast(interior_sum as double) / nullif(interior_count, 0)
            - cast(frame_sum as double) / nullif(frame_count, 0)
            as decimal(18, 12)
        ) as deficit
    from summed

),

baselines as (

    select * from deficits
    where model_id = (select baseline_model from parameters)
        and inference_path = 'notta'

),

final as (

    select
        deficits.model_id,
        deficits.inference_path,
        deficits.image_id,
        clusters.cluster_id,
        clusters.cluster_unit,
        deficits.deficit,
        deficits.deficit - baselines.deficit as excess
    from deficits
    inner join clusters on deficits.image_id = clusters.image_id
    left join baselines
        on deficits.image_id = baselines.image_id
        and deficits.model_id != baselines.model_id
    where deficits.deficit is not null

)

select * from final
