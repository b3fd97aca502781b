{{ config(materialized='growing_table') }}

{#- Nine limits that cut the blocks of one reference into tenths by their variance. They are of the
    reference alone: the same under every model, and no other image moves them. A quantile keeps all
    values of its group, so some images are taken at a time. -#}
with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    where {{ in_a_batch() }}

),

cut as (

    select
        model_id,
        image_id,
        quantile_disc(
            variance_dn2_reference, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
        ) as limits_dn2
    from blocks
    where variance_dn2_reference is not null
    group by model_id, image_id

),

final as (

    select
        model_id,
        image_id
        {%- for number in range(1, 10) %},
        limits_dn2[{{ number }}] as limit_{{ number }}_dn2
        {%- endfor %}
    from cut

)

select * from final
