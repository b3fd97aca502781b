{#- How often images with a finding score above images without it, by patient, once by the restored
    image and once by what it is compared with, on the images that have both. Counts are named as
    macros/roc.sql does: drawn has the finding, sham has not. -#}
{%- set keys = reading_groups() + ['against', 'side'] -%}
with readings as (

    select * from {{ ref('fct_readings') }}
    where subject = 'restored' and is_current and has_finding is not null

),

scored as (

    {%- for against in ['reference', 'lr'] %}
    {%- set is_last = loop.last %}
    {%- for side, score in {'restored': 'score', 'baseline': against ~ '_score'}.items() %}
    select
        {{ reading_groups() | join(',\n        ') }},
        '{{ against }}' as against,
        '{{ side }}' as side,
        cluster_id,
        cluster_unit,
        {{ score }} as score,
        cast(has_finding as integer) as is_drawn
    from readings
    where {{ against }}_score is not null
    {%- if not (loop.last and is_last) %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}

),

-- Without both there is no area.
conditions as (

    select
        {{ keys | join(',\n        ') }},
        sum(is_drawn) as drawn_all,
        row_number() over (order by {{ keys | join(', ') }}) as condition_number
    from scored
    group by {{ keys | join(', ') }}
    having min(is_drawn) != max(is_drawn)

),

judged as (

    select
        conditions.condition_number,
        dense_rank() over (
            partition by conditions.condition_number order by scored.score
        ) as position,
        scored.cluster_id,
        scored.cluster_unit,
        scored.is_drawn
    from scored
    inner join conditions
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} scored.{{ column }} = conditions.{{ column }}
        {%- endfor %}

),

{{ roc_counts() }},

final as (

    select
        conditions.{{ keys | join(',\n        conditions.') }},
        summed.cluster_id,
        summed.cluster_unit,
        cast(summed.drawn_count as hugeint) as drawn_count,
        cast(summed.sham_count as hugeint) as sham_count,
        cast(summed.drawn_wins as hugeint) as drawn_wins,
        cast(2 * summed.sham_count * conditions.drawn_all - summed.sham_wins as hugeint)
            as sham_losses
    from summed
    inner join conditions on summed.condition_number = conditions.condition_number

)

select * from final
