with source as (

    select * from {{ source('raw', 'model_facts') }}

),

renamed as (

    select
        model_id,
        model_number,
        label,
        colour,
        family,
        architecture,
        restorer_kind,
        scale,
        lr_rule,
        weights_sha256,
        weights_url,
        stated_columns,
        recorded_columns
    from source

)

select * from renamed
