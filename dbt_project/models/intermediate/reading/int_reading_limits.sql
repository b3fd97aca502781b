{#- The limit of a reader and finding: where sensitivity plus specificity on the references is
    greatest (Youden 1950), the highest of equals. It lies midway between the score from which on
    images are called positive and the next lower one: at either, an image would be called otherwise
    after the least change to one side, and after none to the other, and more findings would seem to
    be lost than gained, or the reverse. None where no limit does better than chance. -#}
with readings as (

    select * from {{ ref('int_readings_labelled') }}
    where subject = 'reference' and is_current and has_finding is not null

),

counted as (

    select
        reader,
        finding,
        score,
        count(*) filter (where has_finding) as positives_here,
        count(*) filter (where not has_finding) as negatives_here
    from readings
    group by reader, finding, score

),

called as (

    select
        reader,
        finding,
        score,
        lag(score) over (partition by reader, finding order by score) as lower_score,
        sum(positives_here) over above as found_count,
        sum(negatives_here) over above as alarm_count,
        sum(positives_here) over whole as positive_count,
        sum(negatives_here) over whole as negative_count
    from counted
    window
        above as (
            partition by reader, finding order by score desc rows unbounded preceding
        ),
        whole as (partition by reader, finding)

),

chosen as (

    select
        *,
        found_count * negative_count - alarm_count * positive_count as excess,
        (score + lower_score) / 2 as middle_score
    from called
    qualify row_number() over (
        partition by reader, finding
        order by found_count * negative_count - alarm_count * positive_count desc, score desc
    ) = 1

),

final as (

    select
        reader,
        finding,
        -- Of neighbouring doubles the middle is one of the two.
        case
            when excess > 0 and middle_score > lower_score then middle_score
            when excess > 0 then score
        end as limit_score,
        cast(positive_count as bigint) as positive_count,
        cast(negative_count as bigint) as negative_count,
        case when excess > 0 then cast(found_count as bigint) end as found_count,
        case when excess > 0 then cast(alarm_count as bigint) end as alarm_count
    from chosen

)

select * from final
