{#- Bins of 0.1, closed below: `bin_low` <= axis1 < `bin_low` + 0.1. The tta axis is the same
    function of the tta score. -#}
with blocks as (

    select * from {{ ref('fct_blocks') }}

),

scores as (

    {%- for path in inference_paths() %}
    select
        model_id,
        '{{ path }}' as inference_path,
        floor(10 * sign(pc1_{{ path }}) * ln(1 + abs(pc1_{{ path }}))) as bin
    from blocks
    where pc1_{{ path }} is not null
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        model_id,
        inference_path,
        cast(bin / 10 as decimal(4, 1)) as bin_low,
        count(*) as block_count,
        cast(count(*) as double) / sum(count(*)) over (partition by model_id, inference_path)
            as block_ratio
    from scores
    group by model_id, inference_path, bin

)

select * from final
