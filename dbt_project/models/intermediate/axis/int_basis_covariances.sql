{#- Mean and covariance of the signed features, per model and pooled. -#}
with images as (

    select * from {{ ref('int_image_moments') }}

),

{{ basis_covariances('images', features()) }},

final as (

    select * from covariances

)

select * from final
