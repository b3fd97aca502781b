{#- Robust spread of each component over all notta blocks: interquartile range / 1.349. Values
    are counted at a resolution of 0.0001 and quartiles read from the counts (the smallest value
    that a quarter, or three quarters, of the blocks do not exceed), so no sort of all blocks is
    needed. NULL where at least half of the blocks share one value. A frozen study has them in its
    file. -#}
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
with blocks as (

    select * from {{ ref('fct_blocks') }}

),

counted as (

    {%- for component in components() %}
    select
        '{{ component }}' as component,
        round(d_{{ component }}_notta, 4) as value,
        count(*) as block_count
    from blocks
    where d_{{ component }}_notta is not null
    group by round(d_{{ component }}_notta, 4)
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

cumulated as (

    select
        component,
        value,
        sum(block_count) over (
            partition by component
            order by value rows between unbounded preceding and current row
        ) as blocks_so_far,
        sum(block_count) over (partition by component) as blocks_in_all
    from counted

),

quartiles as (

    select
        component,
        min(value) filter (where 4 * blocks_so_far >= blocks_in_all) as lower_quartile,
        min(value) filter (where 4 * blocks_so_far >= 3 * blocks_in_all) as upper_quartile
    from cumulated
    group by component

),

final as (

    select
        component,
        nullif(cast(upper_quartile - lower_quartile as double), 0) / 1.349 as robust_sd
    from quartiles

)

{% endif -%}
select * from final
