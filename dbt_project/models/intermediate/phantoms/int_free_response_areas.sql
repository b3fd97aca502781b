{#- How often a place drawn at scores higher than an image without anything does anywhere, a tie
    counting half: the area under the alternative free-response curve (Chakraborty & Winter 1990,
    Radiology 174, 873). -#}
{%- set detected = ['model_id', 'inference_path', 'detector', 'reading'] -%}
with scores as (

    select * from {{ ref('int_site_scores') }}
    where arm = 'auditor' and signal_part = 'full' and coalesce(contrast_dn, 1) > 0

),

free as (

    select
        {{ detected | join(', ') }},
        image_count,
        any_value(image_scores) as image_scores
    from {{ ref('int_free_response_limits') }}
    group by {{ detected | join(', ') }}, image_count

),

compared as (

    select
        scores.{{ detected | join(', scores.') }},
        scores.kind,
        scores.contrast_dn,
        free.image_count,
        len(list_filter(free.image_scores, lambda score: score < scores.score))
        + len(list_filter(free.image_scores, lambda score: score <= scores.score)) as wins
    from scores
    inner join free
        {%- for column in detected %}
        {{ 'on' if loop.first else 'and' }} scores.{{ column }} = free.{{ column }}
        {%- endfor %}

),

final as (

    select
        {{ detected | join(', ') }},
        kind,
        contrast_dn,
        cast(sum(wins) as double) / (2 * count(*) * max(image_count)) as afroc_area
    from compared
    group by {{ detected | join(', ') }}, kind, contrast_dn

)

select * from final
