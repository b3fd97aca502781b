{#- Mean and covariance of the features of phi6, per model and pooled. -#}
with images as (

    select * from {{ ref('int_image_moments') }}

),

{{ basis_covariances('images', feature_spaces()['phi6']) }},

final as (

    select * from covariances

)

select * from final
