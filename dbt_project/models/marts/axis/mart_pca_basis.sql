{#- The pooled basis is the one that scores blocks; a model's own is a diagnostic. -#}
with loadings as (

    select * from {{ ref('int_basis_loadings') }}

),

pooled as (

    select
        component,
        feature,
        loading
    from loadings
    where basis_id = 'pooled'

),

alignments as (

    select
        loadings.basis_id,
        loadings.component,
        abs(list_sum(list(loadings.loading * pooled.loading order by loadings.position)))
            as pooled_alignment
    from loadings
    inner join pooled
        on loadings.component = pooled.component
        and loadings.feature = pooled.feature
    group by loadings.basis_id, loadings.component

),

final as (

    select
        loadings.basis_id,
        cast(loadings.component as integer) as component,
        loadings.feature,
        cast(loadings.position as integer) as feature_number,
        loadings.is_identifiable,
        loadings.loading,
        loadings.scale,
        loadings.weight,
        loadings.feature_mean,
        loadings.eigenvalue,
        loadings.eigenvalue_gap,
        alignments.pooled_alignment,
        cast(loadings.block_count as bigint) as block_count
    from loadings
    inner join alignments
        on loadings.basis_id = alignments.basis_id
        and loadings.component = alignments.component

)

select * from final
