with study as (

    select * from {{ ref('stg_raw__study') }}

),

final as (

    select
        study_name,
        schema_version,
        code_version,
        source_file_count,
        raw_file_count,
        sources_root,
        raw_root,
        raw_recipe_sha256,
        raw_content_sha256,
        build_recipe_sha256
    from study

)

select * from final
