{#- Metrics measured from images and metrics read from published files, in one shape. A published
    file gives only the values it rounded, so there both columns of a metric hold them. -#}
{%- set published, companions = published_metrics(), companion_metrics() -%}
with measured as (

    select * from {{ ref('stg_raw__image_metrics') }}

),

results as (

    select * from {{ ref('stg_raw__published_results') }}

),

final as (

    select
        'images' as source_id,
        model_id,
        inference_path,
        image_id,
        row_number() over (order by image_id, model_id, inference_path) - 1 as row_number
        {%- for metric in published %},
        {{ metric }}
        {%- endfor %}
        {%- for metric in companions %},
        {{ metric }}
        {%- endfor %},
        repetition_period_px,
        {%- for metric in published if metric not in unrounded_metrics() %}
        {{ metric }}_rounded,
        {%- endfor %}
        repetition_strength >= cast({{ constant('repetition_limit') }} as double) as is_repeated
    from measured
    union all
    select
        label as source_id,
        model_id,
        'unstated' as inference_path,
        image_id,
        row_number
        {%- for metric in published %},
        {{ metric }}
        {%- endfor %}
        {%- for metric in companions %},
        null as {{ metric }}
        {%- endfor %},
        null as repetition_period_px,
        {%- for metric in published if metric not in unrounded_metrics() %}
        {{ metric }} as {{ metric }}_rounded,
        {%- endfor %}
        null as is_repeated
    from results

)

select * from final
