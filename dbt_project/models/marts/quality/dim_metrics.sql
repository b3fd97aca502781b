with metrics as (

    select * from {{ ref('stg_raw__metrics') }}

),

final as (

    select
        metric,
        metric_number,
        unit,
        lowest,
        highest,
        published_decimals,
        preference,
        looks_at,
        source,
        description,
        null_when,
        not_measured
    from metrics

)

select * from final
