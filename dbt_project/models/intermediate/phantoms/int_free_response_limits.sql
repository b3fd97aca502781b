{#- The limits of a free-response curve: the score beyond which no more tiles lie than a rate allows
    in as many images; and the largest score of each image. -#}
{%- set detected = ['model_id', 'inference_path', 'detector', 'reading'] -%}
with tiles as (

    select * from {{ ref('int_tile_scores') }}
    where arm = 'sham'

),

images as (

    select
        {{ detected | join(', ') }},
        image_id,
        max(score) as score
    from tiles
    group by {{ detected | join(', ') }}, image_id

),

largest as (

    select
        {{ detected | join(', ') }},
        count(*) as image_count,
        list(score order by score) as image_scores
    from images
    group by {{ detected | join(', ') }}

),

gathered as (

    select
        {{ detected | join(', ') }},
        list_sort(list(score)) as scores
    from tiles
    group by {{ detected | join(', ') }}

),

levels as (

    select unnest([{{ free_response_levels() | join(', ') }}]) as level

),

limited as (

    select
        gathered.{{ detected | join(', gathered.') }},
        levels.level,
        largest.image_count,
        largest.image_scores,
        gathered.scores,
        gathered.scores[
            len(gathered.scores) - cast(levels.level * largest.image_count // 8 as bigint)
        ] as limit_score
    from gathered
    inner join largest
        {%- for column in detected %}
        {{ 'on' if loop.first else 'and' }} gathered.{{ column }} = largest.{{ column }}
        {%- endfor %}
    cross join levels
    where
        levels.level * largest.image_count >= 8
        and levels.level * largest.image_count // 8 < len(gathered.scores)

),

final as (

    select
        {{ detected | join(', ') }},
        cast(level as double) / 8 as false_positive_rate,
        limit_score,
        image_count,
        cast(len(scores) as bigint) as tile_count,
        cast(len(list_filter(scores, lambda score: score > limit_score)) as bigint)
            as false_positive_count,
        image_scores
    from limited

)

select * from final
