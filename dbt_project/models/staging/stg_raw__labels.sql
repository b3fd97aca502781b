with source as (

    select * from {{ source('raw', 'labels') }}

),

renamed as (

    select
        image_id,
        patient_id,
        finding_labels,
        follow_up,
        age_years,
        sex,
        view_position
    from source

)

select * from renamed
