{#- Every zone and state of every model and indicator, found or not: 0 is counted and none, NULL is
    not counted because the model has no block with a state. Of models without tta the
    notta half. -#}
{%- set keys = ['model_id', 'indicator', 'judged_paths', 'zone', 'state'] -%}
{%- set kinds = tier3_kinds() | list -%}
with models as (

    select * from {{ ref('dim_models') }}

),

limits as (

    select * from {{ ref('mart_limits') }}

),

counts as (

    select * from {{ ref('int_tier3_cells') }}

),

shares as (

    select * from {{ ref('int_tier3_shares') }}

),

points as (

    select * from {{ ref('int_beta_points') }}

),

measured as (

    select * from {{ ref('mart_measured_limits') }}
    where inference_path = 'notta' and level_ratio is null

),

cells as (

    {%- for name, indicator in tier3_indicators('').items() %}
    {%- for paths, states in {'both': tier3_states(), 'notta': notta_states()}.items() %}
    select
        models.model_id,
        '{{ name }}' as indicator,
        '{{ indicator.flag }}' as flag,
        '{{ paths }}' as judged_paths,
        zones.zone,
        states.state,
        cast(limits.{{ indicator.limit }} as double) as indicator_limit
    from models
    inner join limits on models.model_id = limits.model_id
    cross join (values ('visible'), ('hidden')) as zones (zone)
    cross join (values
        {%- for state in states %} ('{{ state }}'){{ ',' if not loop.last }}
        {%- endfor %}) as states (state)
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

counted as (

    select
        {{ keys | join(', ') }},
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(*) as cluster_count,
        sum(model_count) as model_count,
        sum(zone_count) as zone_count,
        sum(zone_silent_count) as zone_silent_count,
        max(loud_most) as loud_most
        {%- for name in ['block'] + kinds %},
        cast(sum({{ name }}_count) as bigint) as {{ name }}_count
        {%- endfor %}
    from counts
    group by {{ keys | join(', ') }}

),

bounded as (

    select
        {%- for key in keys %}
        shares.{{ key }},
        {%- endfor %}
        shares.share,
        {{ share_end('shares', 'lower_points', 'low') }} as low_ratio,
        {{ share_end('shares', 'upper_points', 'high') }} as high_ratio
    from shares
    left join points as lower_points
        on {{ share_point('shares', 'lower_points', 'low') }}
    left join points as upper_points
        on {{ share_point('shares', 'upper_points', 'high') }}

),

intervals as (

    select
        {{ keys | join(', ') }}
        {%- for share in tier3_shares() %}
        {%- for end in ['low', 'high'] %},
        max({{ end }}_ratio) filter (where share = '{{ share }}') as {{ share }}_{{ end }}_ratio
        {%- endfor %}
        {%- endfor %}
    from bounded
    group by {{ keys | join(', ') }}

),

final as (

    select
        {%- for key in keys %}
        cells.{{ key }},
        {%- endfor %}
        counted.cluster_unit,
        counted.cluster_count,
        counted.block_count
        {%- for share, (part, whole) in tier3_shares().items() %}
        {%- if share == 'silent' %},
        counted.silent_count
        {%- endif %},
        cast(counted.{{ part }} as double) / nullif(counted.{{ whole }}, 0) as {{ share }}_ratio,
        intervals.{{ share }}_low_ratio,
        intervals.{{ share }}_high_ratio
        {%- endfor %},
        cells.indicator_limit,
        {%- for share in ['sensitivity', 'false_alarm'] %}
        {%- for end in ['', '_low', '_high'] %}
        measured.{{ share }}{{ end }}_ratio,
        {%- endfor %}
        {%- endfor %}
        counted.loud_most
        {%- for name in kinds %}
        {%- if name != 'silent' %},
        counted.{{ name }}_count
        {%- endif %}
        {%- endfor %}
    from cells
    left join counted
        on
        {%- for key in keys %}
        {{ 'and ' if not loop.first }}cells.{{ key }} = counted.{{ key }}
        {%- endfor %}
    left join intervals
        on
        {%- for key in keys %}
        {{ 'and ' if not loop.first }}cells.{{ key }} = intervals.{{ key }}
        {%- endfor %}
    -- What another limit finds is not what this one does.
    left join measured
        on cells.model_id = measured.model_id
        and cells.flag = measured.detector
        and cells.indicator_limit = measured.stated_limit

)

select * from final
