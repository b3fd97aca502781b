{#- Eigenvectors with a stated sign (definitions E.4, [OWN]). PCA fixes a vector only up to its
    sign; here the loading of the anchor, contrast change, is positive. Where the anchor weighs
    less than 0.2 the loading of largest magnitude is, ties going to the first feature. Loadings
    are rounded to 12 decimals so that no later digit depends on the machine. An axis is
    identifiable where its eigenvalue exceeds the next by a twentieth. The standard basis, and that
    of a frozen study, stand beside those that the blocks give now. -#}
{%- set names = features() -%}
{%- set anchor = names.index('contrast') + 1 -%}
with eigenpairs as (

    select * from {{ ref('int_basis_eigenpairs') }}

),

covariances as (

    select * from {{ ref('int_basis_covariances') }}

),

rounded as (

    select
        basis_id,
        component,
        eigenvalue,
        list_transform(loadings, lambda loading: round(loading, 12)) as loadings
    from eigenpairs

),

oriented as (

    select
        *,
        case
            when abs(loadings[{{ anchor }}]) >= {{ constant('anchor_loading') }}
                then sign(loadings[{{ anchor }}])
            else {{ sign_of_largest('loadings') }}
        end as orientation,
        lead(eigenvalue) over (partition by basis_id order by component) as next_eigenvalue
    from rounded

),

scaled as (

    select
        basis_id,
        block_count,
        [{% for name in names %}mean_{{ name }}{{ ', ' if not loop.last }}{% endfor %}] as means,
        [
            {%- for name in names %}
            sqrt(greatest(cov_{{ name }}_{{ name }}, 0) * block_count / nullif(block_count - 1, 0))
            {{- ',' if not loop.last }}
            {%- endfor %}
        ] as scales
    from covariances

),

positions as (

    select
        unnest(range(1, {{ names | length + 1 }})) as position,
        unnest({{ names }}) as feature

),

fitted as (

    select
        oriented.basis_id,
        oriented.component,
        positions.position,
        positions.feature,
        oriented.orientation * oriented.loadings[positions.position] as loading,
        scaled.scales[positions.position] as scale,
        scaled.means[positions.position] as feature_mean,
        coalesce(
            round(
                oriented.orientation * oriented.loadings[positions.position]
                / nullif(scaled.scales[positions.position], 0),
                12
            ),
            0
        ) as weight,
        oriented.eigenvalue,
        oriented.eigenvalue / nullif(oriented.next_eigenvalue, 0) as eigenvalue_gap,
        oriented.eigenvalue > 0
        and oriented.eigenvalue
            >= {{ constant('eigenvalue_gap') }} * coalesce(oriented.next_eigenvalue, 0)
            as is_identifiable,
        scaled.block_count
    from oriented
    inner join scaled on oriented.basis_id = scaled.basis_id
    cross join positions

),

final as (

    select * from fitted
    union all
    select * from {{ ref('standard_basis') }}
    {%- if is_frozen() %}
    union all
    select * from {{ ref('stg_raw__frozen_loadings') }}
    {%- endif %}

)

select * from final
