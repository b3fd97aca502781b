{#- What the rules read: values as the published file rounds them. NULLs keep their rows, so that a
    rule of two clauses never fires on one. -#}
with images as (

    select * from {{ ref('fct_image_quality') }}

),

final as (

    {%- for metric in ruled_metrics() %}
    select
        source_id,
        model_id,
        inference_path,
        image_id,
        '{{ metric }}' as metric,
        {{ metric }}{{ '_rounded' if metric not in unrounded_metrics() }} as value
    from images
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from final
