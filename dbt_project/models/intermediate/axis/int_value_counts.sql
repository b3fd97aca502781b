{{ config(materialized=growing_table()) }}

{#- Quantiles are read from counts of values: exact, without a sort of all blocks, and what a
    growing build adds is added. -#}
with blocks as (

    select * from {{ ref('fct_blocks') }}
    {{ added_blocks() }}

),

final as (

    {%- for quantity, value in counted_quantities().items() %}
    select
        model_id,
        '{{ quantity }}' as quantity,
        cast({{ value }} as {{ fixed_dn2() }}) as value,
        count(*) as block_count
    from blocks
    where {{ value }} is not null
    group by model_id, {{ value }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from final
