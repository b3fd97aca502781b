{#- Cluster bootstrap: each replicate draws as many clusters as there are, with replacement. A
    draw is a SHA-256 of seed, replicate and position, so the same study always gives the same
    intervals. Empty where there are too few clusters for an interval. -#}
with clusters as (

    select
        cluster_id,
        row_number() over (order by cluster_id) - 1 as position
    from (select distinct cluster_id from {{ ref('int_clusters') }}) as named

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

),

sizes as (

    select count(*) as cluster_count
    from clusters
    having count(*) >= {{ var('min_clusters') }}

),

replicates as (

    select unnest(range(0, {{ var('bootstrap_replicates') }})) as replicate

),

draws as (

    select
        replicates.replicate,
        cast(
            '0x' || substr(
                sha256(
                    parameters.bootstrap_seed
                    || ':' || replicates.replicate || ':' || clusters.position
                ),
                1,
                15
            )
            as bigint
        ) % sizes.cluster_count as position
    from replicates
    cross join clusters
    cross join sizes
    cross join parameters

),

final as (

    select
        draws.replicate,
        clusters.cluster_id,
        count(*) as weight
    from draws
    inner join clusters on draws.position = clusters.position
    group by draws.replicate, clusters.cluster_id

)

select * from final
