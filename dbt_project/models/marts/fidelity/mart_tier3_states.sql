{#- Every zone and state of every model, found or not: 0 is counted and none, NULL is not counted
    because the model has no block with a state. -#}
{%- set flags = ['silent', 'masked', 'lum_over', 'lum_under'] -%}
{%- set classes = {'none': 'None', 'single': 'Single', 'multi': 'Multi'} -%}
with models as (

    select * from {{ ref('dim_models') }}

),

groups as (

    select * from {{ ref('int_tier3_counts') }}
    where state is not null

),

evaluated as (

    select
        model_id,
        sum(block_count) as block_count
    from groups
    group by model_id

),

cells as (

    select
        models.model_id,
        zones.zone,
        states.state,
        evaluated.block_count as evaluated_count
    from models
    cross join (values ('visible'), ('hidden')) as zones (zone)
    cross join (values
        {%- for state in tier3_states() %} ('{{ state }}'){{ ',' if not loop.last }}
        {%- endfor %}) as states (state)
    left join evaluated on models.model_id = evaluated.model_id

),

counted as (

    select
        model_id,
        zone,
        state,
        sum(block_count) as block_count
        {%- for flag in flags %},
        sum(block_count) filter (where is_{{ flag }}_notta) as {{ flag }}_count
        {%- endfor %}
        {%- for name, value in classes.items() %},
        sum(block_count) filter (where direction_class_notta = '{{ value }}') as {{ name }}_count
        {%- endfor %},
        sum(block_count) filter (where direction_class_notta is null) as unclassified_count
    from groups
    group by model_id, zone, state

),

filled as (

    select
        cells.model_id,
        cells.zone,
        cells.state
        {%- for name in ['block'] + flags + classes.keys() | list + ['unclassified'] %},
        case
            when cells.evaluated_count is not null
                then cast(coalesce(counted.{{ name }}_count, 0) as bigint)
        end as {{ name }}_count
        {%- endfor %}
    from cells
    left join counted
        on cells.model_id = counted.model_id
        and cells.zone = counted.zone
        and cells.state = counted.state

),

final as (

    select
        model_id,
        zone,
        state,
        block_count,
        cast(block_count as double)
        / nullif(sum(block_count) over (partition by model_id, zone), 0) as zone_ratio,
        cast(block_count as double)
        / nullif(sum(block_count) over (partition by model_id), 0) as model_ratio
        {%- for flag in flags %},
        {{ flag }}_count,
        cast({{ flag }}_count as double) / nullif(block_count, 0) as {{ flag }}_ratio
        {%- endfor %}
        {%- for name in classes %},
        {{ name }}_count
        {%- endfor %},
        unclassified_count
    from filled

)

select * from final
