with study as (

    select * from {{ ref('stg_raw__study') }}

),

bases as (

    select * from {{ ref('mart_pca_basis') }}

),

-- Where the study's own axis scores, it is compared with the standard one.
axes as (

    select
        max(basis_id) filter (where is_scoring) as axis_basis,
        max(alignment) filter (
            where basis_id = '{{ 'standard-1' if scoring_basis() == 'pooled' else 'pooled' }}'
        ) as axis_alignment
    from bases
    where pc_number = 1

),

final as (

    select
        study.study_name,
        study.schema_version,
        study.code_version,
        study.source_file_count,
        study.raw_file_count,
        study.sources_root,
        study.raw_root,
        study.raw_recipe_sha256,
        study.raw_content_sha256,
        study.build_recipe_sha256,
        axes.axis_basis,
        axes.axis_alignment
    from study
    cross join axes

)

select * from final
