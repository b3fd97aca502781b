{#- A cluster without a block of a state, or of a zone, has 0 of it: it still counts for what share
    there is. -#}
with counts as (

    select * from {{ ref('int_tier3_counts') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

clustered as (

    {%- for name, indicator in tier3_indicators('').items() %}
    {%- for paths, judged in [
        ('both', 'counts.state_' ~ name),
        ('notta', 'counts.' ~ indicator.flag ~ '_notta'),
    ] %}
    select
        counts.model_id,
        '{{ name }}' as indicator,
        '{{ paths }}' as judged_paths,
        clusters.cluster_id,
        clusters.cluster_unit,
        counts.zone,
        {%- if paths == 'both' %}
        {{ judged }} as state,
        {%- else %}
        case
            {%- for state, is_beyond in notta_states().items() %}
            when {{ '' if is_beyond else 'not ' }}{{ judged }} then '{{ state }}'
            {%- endfor %}
        end as state,
        {%- endif %}
        sum(counts.block_count) as block_count
        {%- for kind, sql in tier3_kinds().items() %},
        coalesce(sum(counts.block_count) filter (where {{ sql }}), 0) as {{ kind }}_count
        {%- endfor %},
        cast(
            max(counts.most_{{ name }}_{{ paths }}) filter (where not counts.is_silent_notta)
            as double
        ) as loud_most
    from counts
    inner join clusters on counts.image_id = clusters.image_id
    where counts.zone is not null and {{ judged }} is not null
    group by
        counts.model_id, clusters.cluster_id, clusters.cluster_unit, counts.zone, {{ judged }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

models as (

    select
        model_id,
        indicator,
        judged_paths,
        cluster_id,
        cluster_unit,
        sum(block_count) as model_count
    from clustered
    group by model_id, indicator, judged_paths, cluster_id, cluster_unit

),

zones as (

    select
        model_id,
        indicator,
        judged_paths,
        cluster_id,
        zone,
        sum(block_count) as zone_count,
        sum(silent_count) as zone_silent_count,
        max(loud_most) as loud_most
    from clustered
    group by model_id, indicator, judged_paths, cluster_id, zone

),

states as (

    {%- for paths, states in {'both': tier3_states(), 'notta': notta_states()}.items() %}
    {%- for state in states %}
    select
        '{{ paths }}' as judged_paths,
        '{{ state }}' as state
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        models.model_id,
        models.indicator,
        models.judged_paths,
        models.cluster_id,
        models.cluster_unit,
        places.zone,
        states.state,
        cast(models.model_count as bigint) as model_count,
        cast(coalesce(zones.zone_count, 0) as bigint) as zone_count,
        cast(coalesce(zones.zone_silent_count, 0) as bigint) as zone_silent_count,
        zones.loud_most,
        cast(coalesce(clustered.block_count, 0) as bigint) as block_count
        {%- for kind in tier3_kinds() %},
        cast(coalesce(clustered.{{ kind }}_count, 0) as bigint) as {{ kind }}_count
        {%- endfor %}
    from models
    cross join (values ('visible'), ('hidden')) as places (zone)
    inner join states on models.judged_paths = states.judged_paths
    left join zones
        on models.model_id = zones.model_id
        and models.indicator = zones.indicator
        and models.judged_paths = zones.judged_paths
        and models.cluster_id = zones.cluster_id
        and places.zone = zones.zone
    left join clustered
        on models.model_id = clustered.model_id
        and models.indicator = clustered.indicator
        and models.judged_paths = clustered.judged_paths
        and models.cluster_id = clustered.cluster_id
        and places.zone = clustered.zone
        and states.state = clustered.state

)

select * from final
