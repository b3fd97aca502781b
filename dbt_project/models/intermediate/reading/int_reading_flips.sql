{#- How often a reader calls a restored image otherwise than its reference, and how many independent
    images would say as much (macros/shares.sql). -#}
{%- set key = reading_groups() | join(', ') -%}
with readings as (

    select * from {{ ref('fct_readings') }}
    where subject = 'restored' and is_current and is_flipped is not null

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clustered as (

    select
        {{ key }},
        cluster_id,
        cluster_unit,
        count(*) as read_count,
        count(*) filter (where is_flipped) as flip_count,
        count(*) filter (where is_flipped and is_positive) as gained_count,
        count(*) filter (where is_flipped and not is_positive) as lost_count
    from readings
    group by {{ key }}, cluster_id, cluster_unit

),

summed as (

    select
        {{ key }},
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        {{ share_sums('read_count', 'flip_count') }},
        cast(sum(gained_count) as bigint) as gained_count,
        cast(sum(lost_count) as bigint) as lost_count,
        -- In order, so that the same sums are made of them everywhere.
        coalesce(
            list(
                cast(abs(gained_count - lost_count) as double)
                order by abs(gained_count - lost_count)
            ) filter (where gained_count != lost_count),
            []
        ) as net_sizes
    from clustered
    group by {{ key }}

),

{{ sized_shares() }}

select * from final
