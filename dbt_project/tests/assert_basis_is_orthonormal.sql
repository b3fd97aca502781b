-- Eigenvectors of one basis are orthogonal and of length 1. A feature that does not vary makes a
-- vector of length 0 or 1 on its own axis, which passes too. The standard basis has nine decimals.
with loadings as (

    select * from {{ ref('mart_pca_basis') }}

),

products as (

    select
        first.basis_id,
        first.pc_number as first_number,
        second.pc_number as second_number,
        sum(first.loading * second.loading) as product
    from loadings as first
    inner join loadings as second
        on first.basis_id = second.basis_id
        and first.feature = second.feature
    group by first.basis_id, first.pc_number, second.pc_number

)

select *
from products
where abs(product - case when first_number = second_number then 1 else 0 end) > 1e-8
