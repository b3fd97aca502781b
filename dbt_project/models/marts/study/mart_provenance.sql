{#- Edges from source files to raw files. dbt's own graph, complete only when dbt has run, is added
    by warehouse/lineage.py before the file is published. -#}
with lineage as (

    select * from {{ ref('stg_raw__lineage') }}

),

final as (

    select
        child_kind,
        child_name,
        parent_kind,
        parent_name,
        child_hash_of,
        child_sha256,
        parent_hash_of,
        parent_sha256
    from lineage

)

select * from final
