with readers as (

    select * from {{ ref('stg_raw__readers') }}

),

readings as (

    select * from {{ ref('int_readings_labelled') }}

),

counted as (

    select
        reader,
        count(distinct finding) as finding_count,
        count(*) as reading_count,
        count(*) filter (where is_current is distinct from true) as outdated_count
    from readings
    group by reader

),

final as (

    select
        readers.reader,
        readers.format,
        readers.intensity,
        readers.score,
        readers.library,
        readers.device,
        readers.input_px,
        coalesce(counted.finding_count, 0) as finding_count,
        coalesce(counted.reading_count, 0) as reading_count,
        coalesce(counted.outdated_count, 0) as outdated_count,
        readers.has_maps,
        readers.file_sha256
    from readers
    left join counted on readers.reader = counted.reader

)

select * from final
