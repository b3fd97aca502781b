{#- All eigenpairs of each basis's correlation matrix. A feature that does not vary has an empty row
    and column: loading 0. -#}
{%- set names = features() -%}
{#- Features have six decimals, so a smaller variance is rounding. -#}
{%- set least_variance = constant('least_variance') -%}
with recursive covariances as (

    select * from {{ ref('int_basis_covariances') }}

),

correlations as (

    select
        basis_id,
        [
            {%- for first in names %}
            {%- set row = loop.index0 %}
            [
                {%- for second in names %}
                case
                    when cov_{{ first }}_{{ first }} < {{ least_variance }} then 0
                    when cov_{{ second }}_{{ second }} < {{ least_variance }} then 0
                    {%- if first == second %}
                    else 1
                    {%- else %}
                    {%- set low, high = [row, loop.index0] | min, [row, loop.index0] | max %}
                    else cov_{{ names[low] }}_{{ names[high] }}
                        / sqrt(cov_{{ first }}_{{ first }} * cov_{{ second }}_{{ second }})
                    {%- endif %}
                end{{ ',' if not loop.last }}
                {%- endfor %}
            ]{{ ',' if not loop.last }}
            {%- endfor %}
        ] as matrix
    from covariances

),

{{ jacobi_eigenpairs('correlations', names | length) }},

final as (

    select
        basis_id,
        component,
        eigenvalue,
        loadings
    from eigenpairs

)

select * from final
