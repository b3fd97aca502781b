{#- Beside each reading what the same reader says of the reference and of the LR image, as long as
    those files too are the study's. -#}
with readings as (

    select * from {{ ref('int_readings_labelled') }}

),

limits as (

    select * from {{ ref('int_reading_limits') }}

),

final as (

    select
        readings.{{ reading_keys() | join(',\n        readings.') }},
        readings.cluster_id,
        readings.cluster_unit,
        readings.score,
        reference_readings.score as reference_score,
        lr_readings.score as lr_score,
        case when readings.subject != 'reference' then readings.score - reference_readings.score end
            as shift,
        limits.limit_score,
        readings.has_finding,
        readings.score >= limits.limit_score as is_positive,
        case
            when readings.subject != 'reference'
                then (readings.score >= limits.limit_score)
                    != (reference_readings.score >= limits.limit_score)
        end as is_flipped,
        readings.is_current,
        readings.file_sha256
    from readings
    {%- for subject in ['reference', 'lr'] %}
    left join readings as {{ subject }}_readings
        on {{ subject }}_readings.subject = '{{ subject }}'
        and {{ subject }}_readings.is_current
        and readings.reader = {{ subject }}_readings.reader
        and readings.image_id = {{ subject }}_readings.image_id
        and readings.finding = {{ subject }}_readings.finding
    {%- endfor %}
    left join limits
        on readings.reader = limits.reader
        and readings.finding = limits.finding

)

select * from final
