{#- All eigenpairs of symmetric matrices, by cyclic Jacobi rotations (Golub & Van Loan, Matrix
    Computations, 8.5). A step turns the plane of one index pair so that its off-diagonal element
    vanishes; ten sweeps over all pairs reach machine precision. Every element is a dot product in
    list order, so the result is the same on any number of threads. A row and column of zeros keeps
    its eigenvalue 0 and turns no other vector. Arguments: name of a CTE of `basis_id` and `matrix`,
    DOUBLE[][]; its side. Result: CTEs `rotated`, `positions` and `eigenpairs` (basis_id; component,
    1 for the largest eigenvalue; eigenvalue; loadings, a unit vector up to its sign), in a query
    that is `with recursive`. -#}
{% macro jacobi_eigenpairs(matrices, size) -%}
{%- set planes = [] -%}
{%- for p in range(1, size) -%}
{%- for q in range(p + 1, size + 1) -%}{%- do planes.append([p, q]) -%}{%- endfor -%}
{%- endfor -%}
{%- set last_step = 10 * (planes | length) -%}
-- `matrix` tends to diagonal; the columns of `vectors` to its eigenvectors.
rotated as (

    select
        basis_id,
        0 as step,
        cast(matrix as double[][]) as matrix,
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
    from {{ matrices }}

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

eigenpairs as (

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
{%- endmacro %}

{#- Sign of the loading of largest magnitude, the first of several. Argument: SQL of a list. -#}
{% macro sign_of_largest(loadings) -%}
    sign({{ loadings }}[list_position(
        list_transform({{ loadings }}, lambda item: abs(item)),
        list_max(list_transform({{ loadings }}, lambda item: abs(item)))
    )])
{%- endmacro %}
