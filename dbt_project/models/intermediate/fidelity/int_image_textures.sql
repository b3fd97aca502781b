{{ config(materialized='growing_table') }}

{#- Texture of the reference: mean over its blocks of their standard deviation. Every model's rows
    repeat it. -#}
with blocks as (

    select * from {{ ref('stg_raw__blocks') }}

),

final as (

    select
        model_id,
        image_id,
        cast(
            sum(cast(
                sqrt(64 * reference_sum_sq - reference_sum * reference_sum) / 64 as {{ fixed() }}
            )) as double
        ) / nullif(count(reference_sum), 0) as reference_texture_dn
    from blocks
    group by model_id, image_id

)

select * from final
