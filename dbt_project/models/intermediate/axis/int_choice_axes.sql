{#- The first axis of each feature space under each way to fit it, for every model that it scores.
    Anchored: the loading of contrast change is positive, as in int_basis_loadings, from which the
    axes of the scaled signed features are. scikit-learn (from 1.5 on) makes the loading of largest
    magnitude positive; `is_flipped` where that is the other way round. Spaces of fewer features
    have rows of zeros, which turn nothing. -#}
{%- set least_variance = constant('least_variance') -%}
{%- set spaces = feature_spaces() -%}
{%- set tables = {'phi5': 'signed', 'phi6': 'mixed', 'phi3': 'mixed'} -%}
{%- set size = spaces['phi6'] | length -%}
{%- set anchor = features().index('contrast') + 1 -%}
with recursive signed as (

    select * from {{ ref('int_basis_covariances') }}

),

mixed as (

    select * from {{ ref('int_mixed_covariances') }}

),

loadings as (

    select * from {{ ref('int_basis_loadings') }}

),

standard as (

    select * from loadings
    where basis_id = 'standard-1'

),

-- A basis's components with their eigenvalues are its correlation matrix.
standard_elements as (

    select
        first.position as position,
        second.position as other,
        any_value(first.feature_mean) as mean,
        list_sum(list(
            first.eigenvalue * first.loading * second.loading * first.scale * second.scale
            order by first.component
        )) as covariance
    from standard as first
    inner join standard as second on first.component = second.component
    group by first.position, second.position

),

standard_rows as (

    select
        position,
        any_value(mean) as mean,
        list_concat(list(covariance order by other), [0]) as covariances
    from standard_elements
    group by position

),

covariances as (

    {%- for space, names in spaces.items() %}
    select
        '{{ space }}' as feature_space,
        basis_id,
        block_count,
        cast([
            {%- for name in names %}mean_{{ name }}{{ ', ' if not loop.last }}{% endfor -%}
        ] as double[]) as means,
        cast([
            {%- for first in names %}
            {%- set row = loop.index0 %}
            [
                {%- for second in names %}
                {%- set low, high = [row, loop.index0] | min, [row, loop.index0] | max %}
                cov_{{ names[low] }}_{{ names[high] }},
                {%- endfor %}
                {{ ([0] * (size - names | length)) | join(', ') }}
            ],
            {%- endfor %}
            {{ ([[0] * size] * (size - names | length)) | join(', ') }}
        ] as double[][]) as matrix
    from {{ tables[space] }}
    union all
    {%- endfor %}
    select
        'phi5' as feature_space,
        'standard-1' as basis_id,
        any_value(standard.block_count) as block_count,
        any_value(gathered.means) as means,
        any_value(gathered.matrix) as matrix
    from standard
    cross join (
        select
            list(mean order by position) as means,
            list_append(
                list(covariances order by position), cast({{ [0] * size }} as double[])
            ) as matrix
        from standard_rows
    ) as gathered

),

-- Features have six decimals, so a smaller variance is rounding.
varied as (

    select
        * exclude (matrix),
        list_transform(
            matrix,
            lambda cells, row: list_transform(
                cells,
                lambda cell, col: case
                    when matrix[row][row] < {{ least_variance }} then 0
                    when matrix[col][col] < {{ least_variance }} then 0
                    else cell
                end
            )
        ) as matrix
    from covariances

),

candidates as (

    select
        concat_ws(':', feature_space, 'unscaled', basis_id) as fit_id,
        feature_space,
        false as is_scaled,
        basis_id,
        means,
        list_transform(means, lambda mean: cast(1 as double)) as scales,
        matrix
    from varied
    union all
    select
        concat_ws(':', feature_space, 'scaled', basis_id) as fit_id,
        feature_space,
        true as is_scaled,
        basis_id,
        means,
        list_transform(
            means,
            lambda mean, row: sqrt(
                matrix[row][row] * block_count / nullif(cast(block_count as double) - 1, 0)
            )
        ) as scales,
        list_transform(
            matrix,
            lambda cells, row: list_transform(
                cells,
                lambda cell, col: case
                    when matrix[row][row] = 0 or matrix[col][col] = 0 then 0
                    when row = col then 1
                    else cell / sqrt(matrix[row][row] * matrix[col][col])
                end
            )
        ) as matrix
    from varied
    where feature_space != 'phi5'

),

matrices as (

    select
        fit_id as basis_id,
        matrix
    from candidates

),

{{ jacobi_eigenpairs('matrices', size) }},

gapped as (

    select
        basis_id as fit_id,
        component,
        eigenvalue,
        lead(eigenvalue) over (partition by basis_id order by component) as next_eigenvalue,
        list_transform(loadings, lambda loading: round(loading, 12)) as loadings
    from eigenpairs

),

fitted as (

    select
        candidates.feature_space,
        candidates.is_scaled,
        candidates.basis_id,
        list_transform(
            candidates.means, lambda mean, place: gapped.loadings[place]
        ) as loadings,
        candidates.means,
        candidates.scales,
        gapped.eigenvalue / nullif(gapped.next_eigenvalue, 0) as eigenvalue_gap,
        gapped.eigenvalue > 0
        and gapped.eigenvalue
            >= {{ constant('eigenvalue_gap') }} * coalesce(gapped.next_eigenvalue, 0)
            as is_identifiable
    from candidates
    inner join gapped on candidates.fit_id = gapped.fit_id
    where gapped.component = 1

),

anchored as (

    select
        feature_space,
        is_scaled,
        basis_id,
        loadings,
        means,
        list_transform(
            loadings,
            lambda loading, place: coalesce(round(loading / nullif(scales[place], 0), 12), 0)
        ) as weights,
        eigenvalue_gap,
        is_identifiable
    from (
        select
            * exclude (loadings),
            list_transform(
                loadings,
                lambda loading: loading * case
                    when abs(loadings[{{ anchor }}]) >= {{ constant('anchor_loading') }}
                        then sign(loadings[{{ anchor }}])
                    else {{ sign_of_largest('loadings') }}
                end
            ) as loadings
        from fitted
    ) as oriented
    union all
    select
        'phi5' as feature_space,
        true as is_scaled,
        basis_id,
        list(loading order by position) as loadings,
        list(feature_mean order by position) as means,
        list(weight order by position) as weights,
        any_value(eigenvalue_gap) as eigenvalue_gap,
        any_value(is_identifiable) as is_identifiable
    from loadings
    where component = 1 and basis_id != 'frozen'
    group by basis_id

),

owned as (

    select
        feature_space,
        is_scaled,
        substr(basis_id, length('model:') + 1) as model_id,
        loadings
    from anchored
    where starts_with(basis_id, 'model:')

),

final as (

    select
        owned.model_id,
        anchored.feature_space,
        anchored.is_scaled,
        case anchored.basis_id
            when 'standard-1' then 'standard'
            when 'pooled' then 'pooled'
            else 'own'
        end as basis,
        anchored.loadings,
        anchored.weights,
        list_dot_product(anchored.weights, anchored.means) as centre,
        {{ sign_of_largest('anchored.loadings') }} < 0 as is_flipped,
        abs(list_dot_product(anchored.loadings, owned.loadings)) as alignment,
        anchored.eigenvalue_gap,
        anchored.is_identifiable
    from owned
    inner join anchored
        on owned.feature_space = anchored.feature_space
        and owned.is_scaled = anchored.is_scaled
        and anchored.basis_id in ('standard-1', 'pooled', 'model:' || owned.model_id)

)

select * from final
