{#- Pearson correlation of per-image metrics over the rows of a source that have both. -#}
{%- set names = published_metrics() -%}
with images as (

    select * from {{ ref('fct_image_quality') }}

),

-- Every pair in one pass: a union of passes takes ten times as long.
correlated as (

    select
        source_id,
        [
            {%- for first in names %}
            {%- for second in names[loop.index:] %}
            {
                'first_metric': '{{ first }}',
                'second_metric': '{{ second }}',
                'image_count': count({{ first }} + {{ second }}),
                'correlation': {{ correlation(first, second) }}
            },
            {%- endfor %}
            {%- endfor %}
        ] as pairs
    from images
    group by source_id

),

listed as (

    select
        source_id,
        unnest(pairs) as pair
    from correlated

),

final as (

    select
        source_id,
        pair.first_metric,
        pair.second_metric,
        cast(pair.image_count as bigint) as image_count,
        pair.correlation
    from listed

)

select * from final
