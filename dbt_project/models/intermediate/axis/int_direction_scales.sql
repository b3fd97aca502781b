{#- Robust spread of each component over the notta blocks of the models that the study's own axis is
    fitted on: interquartile range / 1.349, the quartiles being the smallest values that a quarter
    and three quarters of the blocks do not exceed, at a resolution of 0.0001. NULL where at least
    half of the blocks share one value. A frozen study has them in its file. -#}
{% if is_frozen() -%}
with frozen as (

    select * from {{ ref('stg_raw__frozen_scales') }}

),

final as (

    select
        component,
        robust_sd
    from frozen

)

{% else -%}
with components as (

    select * from {{ ref('direction_components') }}

),

counts as (

    select
        quantity,
        value,
        sum(block_count) as block_count
    from {{ ref('int_value_counts') }}
    where {{ is_axis_model('model_id') }}
    group by quantity, value

),

cumulated as (

    select
        quantity,
        value,
        sum(block_count) over (
            partition by quantity
            order by value rows between unbounded preceding and current row
        ) as blocks_so_far,
        sum(block_count) over (partition by quantity) as blocks_in_all
    from counts

),

quartiles as (

    select
        quantity,
        min(value) filter (where 4 * blocks_so_far >= blocks_in_all) as lower_quartile,
        min(value) filter (where 4 * blocks_so_far >= 3 * blocks_in_all) as upper_quartile
    from cumulated
    group by quantity

),

final as (

    select
        components.component,
        nullif(cast(quartiles.upper_quartile - quartiles.lower_quartile as double), 0)
        / {{ constant('normal_iqr') }}
            as robust_sd
    from components
    inner join quartiles on components.column_stem = quartiles.quantity

)

{% endif -%}
select * from final
