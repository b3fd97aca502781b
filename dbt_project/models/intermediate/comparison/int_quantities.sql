with components as (

    select * from {{ ref('dim_components') }}

),

metrics as (

    select * from {{ ref('dim_metrics') }}

),

final as (

    {%- for name, (unit, lowest, highest) in block_quantities().items() %}
    select
        '{{ name }}' as quantity,
        'block' as level,
        '{{ unit }}' as unit,
        cast({{ lowest }} as double) as lowest,
        cast({{ highest }} as double) as highest
    union all
    {%- endfor %}
    select
        column_stem as quantity,
        'block' as level,
        coalesce(unit, '') as unit,
        cast(null as double) as lowest,
        cast(null as double) as highest
    from components
    union all
    select
        metric as quantity,
        'image' as level,
        unit,
        lowest,
        highest
    from metrics

)

select * from final
