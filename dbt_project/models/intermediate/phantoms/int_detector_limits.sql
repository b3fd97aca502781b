{#- The limit of a detector at which at most one sham in a hundred is beyond it, and what is then
    found. Needs a hundred shams: of fewer, one is more than that. -#}
{%- set level = constant('ranked_level') -%}
{%- set groups = injection_groups() + ['detector', 'reading'] -%}
with scores as (

    select * from {{ ref('int_drawn_scores') }}

),

limits as (

    select
        model_id,
        inference_path,
        kind,
        detector,
        reading,
        list_sort(list(score))[
            cast(((1000 - {{ level }}) * count(*) + 999) // 1000 as bigint)
        ] as limit_score
    from scores
    where arm = 'sham'
    group by model_id, inference_path, kind, detector, reading
    having {{ level }} * count(*) >= 1000

),

final as (

    select
        scores.{{ groups | join(', scores.') }},
        limits.limit_score,
        count(*) filter (where scores.score > limits.limit_score) as found_count
    from scores
    inner join limits
        on scores.model_id = limits.model_id
        and scores.inference_path = limits.inference_path
        and scores.kind = limits.kind
        and scores.detector = limits.detector
        and scores.reading = limits.reading
    where scores.arm != 'sham'
    group by scores.{{ groups | join(', scores.') }}, limits.limit_score

)

select * from final
