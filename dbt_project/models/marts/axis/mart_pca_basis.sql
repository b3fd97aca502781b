{#- One basis scores blocks: the pooled one, or in a frozen study that of its file. The others are
    diagnostics. -#}
with loadings as (

    select * from {{ ref('int_basis_loadings') }}

),

scoring as (

    select
        component,
        feature,
        loading
    from loadings
    where basis_id = '{{ scoring_basis() }}'

),

alignments as (

    select
        loadings.basis_id,
        loadings.component,
        abs(list_sum(list(loadings.loading * scoring.loading order by loadings.position)))
            as alignment
    from loadings
    inner join scoring
        on loadings.component = scoring.component
        and loadings.feature = scoring.feature
    group by loadings.basis_id, loadings.component

),

final as (

    select
        loadings.basis_id,
        loadings.basis_id = '{{ scoring_basis() }}' as is_scoring,
        cast(loadings.component as integer) as pc_number,
        loadings.feature,
        cast(loadings.position as integer) as feature_number,
        loadings.is_identifiable,
        loadings.loading,
        loadings.scale,
        loadings.weight,
        loadings.feature_mean,
        loadings.eigenvalue,
        loadings.eigenvalue_gap,
        alignments.alignment,
        cast(loadings.block_count as bigint) as block_count
    from loadings
    inner join alignments
        on loadings.basis_id = alignments.basis_id
        and loadings.component = alignments.component

)

select * from final
