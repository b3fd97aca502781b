{#- Of each detector and condition, by patient: how often the places where something was drawn score
    above the shams, a tie counting half; everything twice, so that it is a whole number. Obuchowski
    (1997, doi:10.2307/2533958) makes the variance of the area under the ROC curve of these. Shams
    stand beside every condition of their kind, so what is joined there are numbers, not names. -#}
{%- set detected = ['model_id', 'inference_path', 'kind', 'detector', 'reading'] -%}
{%- set drawn = ['arm', 'component', 'contrast_dn'] -%}
with scores as (

    select * from {{ ref('int_site_scores') }}

),

detectors as (

    select
        {{ detected | join(', ') }},
        row_number() over (order by {{ detected | join(', ') }}) as detector_number
    from scores
    group by {{ detected | join(', ') }}

),

placed as (

    select
        detectors.detector_number,
        scores.{{ drawn | join(', scores.') }},
        scores.cluster_id,
        scores.cluster_unit,
        dense_rank() over (
            partition by detectors.detector_number order by scores.score
        ) as position
    from scores
    inner join detectors
        {%- for column in detected %}
        {{ 'on' if loop.first else 'and' }} scores.{{ column }} = detectors.{{ column }}
        {%- endfor %}

),

conditions as (

    select
        detector_number,
        {{ drawn | join(', ') }},
        count(*) as drawn_all,
        row_number() over (
            order by detector_number, {{ drawn | join(', ') }}
        ) as condition_number
    from placed
    where arm != 'sham'
    group by detector_number, {{ drawn | join(', ') }}

),

judged as (

    select
        conditions.condition_number,
        placed.position,
        placed.cluster_id,
        placed.cluster_unit,
        1 as is_drawn
    from placed
    inner join conditions
        on placed.detector_number = conditions.detector_number
        {%- for column in drawn %}
        and placed.{{ column }} is not distinct from conditions.{{ column }}
        {%- endfor %}
    union all
    select
        conditions.condition_number,
        placed.position,
        placed.cluster_id,
        placed.cluster_unit,
        0 as is_drawn
    from conditions
    inner join placed
        on conditions.detector_number = placed.detector_number
        and placed.arm = 'sham'

),

counted as (

    select
        condition_number,
        position,
        sum(is_drawn) as drawn_here,
        sum(1 - is_drawn) as sham_here
    from judged
    group by condition_number, position

),

-- Twice what lies below, and once what lies level.
ranked as (

    select
        condition_number,
        position,
        2 * sum(drawn_here) over below - drawn_here as drawn_below,
        2 * sum(sham_here) over below - sham_here as sham_below
    from counted
    window below as (
        partition by condition_number order by position rows unbounded preceding
    )

),

summed as (

    select
        judged.condition_number,
        judged.cluster_id,
        judged.cluster_unit,
        sum(judged.is_drawn) as drawn_count,
        sum(1 - judged.is_drawn) as sham_count,
        sum(judged.is_drawn * ranked.sham_below) as drawn_wins,
        sum((1 - judged.is_drawn) * ranked.drawn_below) as sham_wins
    from judged
    inner join ranked
        on judged.condition_number = ranked.condition_number
        and judged.position = ranked.position
    group by judged.condition_number, judged.cluster_id, judged.cluster_unit

),

final as (

    select
        detectors.model_id,
        detectors.inference_path,
        conditions.arm,
        detectors.kind,
        conditions.component,
        conditions.contrast_dn,
        detectors.detector,
        detectors.reading,
        summed.cluster_id,
        summed.cluster_unit,
        cast(summed.drawn_count as hugeint) as drawn_count,
        cast(summed.sham_count as hugeint) as sham_count,
        cast(summed.drawn_wins as hugeint) as drawn_wins,
        cast(2 * summed.sham_count * conditions.drawn_all - summed.sham_wins as hugeint)
            as sham_losses
    from summed
    inner join conditions on summed.condition_number = conditions.condition_number
    inner join detectors on conditions.detector_number = detectors.detector_number

)

select * from final
