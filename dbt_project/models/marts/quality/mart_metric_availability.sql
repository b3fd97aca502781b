{#- What is missing, and why: of measured images the metric's own condition or the study's, of a
    published file what the file says. -#}
{%- set names = published_metrics() + companion_metrics() -%}
with images as (

    select * from {{ ref('fct_image_quality') }}

),

metrics as (

    select * from {{ ref('dim_metrics') }}

),

counted as (

    {%- for name in names %}
    select
        images.source_id,
        '{{ name }}' as metric,
        {{ 'true' if loop.index <= published_metrics() | length else 'false' }} as is_published,
        count(*) as image_count,
        count(images.{{ name }}) as value_count,
        count(*) filter (
            where images.{{ name }} < metrics.lowest or images.{{ name }} > metrics.highest
        ) as outside_count
    from images
    inner join metrics on metrics.metric = '{{ name }}'
    group by images.source_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        counted.source_id,
        counted.metric,
        counted.image_count,
        counted.value_count,
        counted.image_count - counted.value_count as null_count,
        counted.outside_count,
        case
            when counted.value_count = counted.image_count then null
            when counted.source_id = 'images' and metrics.not_measured is not null
                then metrics.not_measured
            when counted.source_id = 'images'
                then coalesce(metrics.null_when || ', or ', '') || 'where the image is too small'
            when not counted.is_published then 'no column of published files'
            when counted.value_count = 0 then 'the published file gives no value'
            else 'empty, None, N/A, NaN or infinite in the published file'
        end as reason
    from counted
    inner join metrics on counted.metric = metrics.metric

)

select * from final
