with components as (

    select * from {{ ref('direction_components') }}

),

final as (

    select
        component,
        column_stem,
        unit,
        family,
        label,
        positive_means,
        negative_means
    from components

)

select * from final
