{{ config(materialized='growing_table') }}

{#- Quantiles are read from counts of values: exact, without a sort of all blocks, and what a
    growing build adds is added. Each quantity reads the table itself: DuckDB would write out a CTE
    that is read more than once, at more than the cost of all the counts. -#}
with final as (

    {%- for quantity, value in counted_quantities().items() %}
    select
        model_id,
        '{{ quantity }}' as quantity,
        cast({{ value }} as {{ fixed_dn2() }}) as value,
        count(*) as block_count
    from {{ ref('int_blocks_completed') }}
    {{ added_blocks() }}
    group by model_id, {{ value }}
    having {{ value }} is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from final
