{#- All eigenpairs of each basis's correlation matrix, by cyclic Jacobi rotations (Golub & Van
    Loan, Matrix Computations, 8.5). A step turns the plane of one index pair so that its
    off-diagonal element vanishes; ten sweeps over the ten pairs reach machine precision.
    Every element is a dot product in list order, so the result is the same on any number of
    threads. A feature that does not vary has an empty row and column: loading 0. -#}
{%- set names = features() -%}
{%- set size = names | length -%}
{%- set planes = [] -%}
{%- for p in range(1, size) -%}
{%- for q in range(p + 1, size + 1) -%}{%- do planes.append([p, q]) -%}{%- endfor -%}
{%- endfor -%}
{%- set last_step = 10 * (planes | length) -%}
{#- Features have six decimals, so a smaller variance is rounding. -#}
{%- set least_variance = '1e-12' -%}
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
        ] as correlation
    from covariances

),

-- `matrix` tends to diagonal; the columns of `vectors` to its eigenvectors.
rotated as (

    select
        basis_id,
        0 as step,
        cast(correlation as double[][]) as matrix,
        cast([
            {%- for row in range(size) %}
            [
                {%- for col in range(size) -%}
                {{ 1 if row == col else 0 }}{{ ', ' if not loop.last }}
                {%- endfor -%}
            ]
            {{- ',' if not loop.last }}
            {%- endfor %}
        ] as double[][]) as vectors
    from correlations

    union all

    (
        with chosen as (

            select
                *,
                cast({{ planes }} as integer[][])[1 + step % {{ planes | length }}] as plane
            from rotated
            where step < {{ last_step }}

        ),

        angled as (

            select
                *,
                (matrix[plane[2]][plane[2]] - matrix[plane[1]][plane[1]])
                / nullif(2 * matrix[plane[1]][plane[2]], 0) as slope
            from chosen

        ),

        tilted as (

            select
                *,
                case
                    when slope is null then 0
                    else (case when slope < 0 then -1 else 1 end)
                        / (abs(slope) + sqrt(slope * slope + 1))
                end as tangent
            from angled

        ),

        turned as (

            select
                *,
                list_transform(
                    range(1, {{ size + 1 }}),
                    lambda row: list_transform(
                        range(1, {{ size + 1 }}),
                        lambda col: cast(
                            case
                                when row != col and row = plane[1] and col = plane[2]
                                    then -tangent / sqrt(tangent * tangent + 1)
                                when row != col and row = plane[2] and col = plane[1]
                                    then tangent / sqrt(tangent * tangent + 1)
                                when row = col and row in (plane[1], plane[2])
                                    then 1 / sqrt(tangent * tangent + 1)
                                when row = col then 1
                                else 0
                            end
                            as double
                        )
                    )
                ) as turn
            from tilted

        )

        select
            basis_id,
            step + 1 as step,
            {{ matrix_product('turn', matrix_product('turn', 'matrix')) }} as matrix,
            {{ matrix_product('vectors', 'turn') }} as vectors
        from turned
    )

),

positions as (

    select unnest(range(1, {{ size + 1 }})) as position

),

final as (

    select
        rotated.basis_id,
        row_number() over (
            partition by rotated.basis_id
            order by rotated.matrix[positions.position][positions.position] desc, positions.position
        ) as component,
        rotated.matrix[positions.position][positions.position] as eigenvalue,
        list_transform(rotated.vectors, lambda row: row[positions.position]) as loadings
    from rotated
    cross join positions
    where rotated.step = {{ last_step }}

)

select * from final
