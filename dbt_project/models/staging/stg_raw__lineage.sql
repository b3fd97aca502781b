with source as (

    select * from {{ source('raw', 'lineage') }}

),

renamed as (

    select
        child_kind,
        child_name,
        parent_kind,
        parent_name,
        child_hash_of,
        child_sha256,
        parent_hash_of,
        parent_sha256
    from source

)

select * from renamed
