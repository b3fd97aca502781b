{#- Bins are closed below: of 0.1, `bin_low` <= axis1 < `bin_low` + 0.1. -#}
with counts as (

    select * from {{ ref('int_axis1_counts') }}

),

final as (

    select
        model_id,
        inference_path,
        cast(bin / {{ constant('axis1_bins') }} as decimal(4, 1)) as bin_low,
        cast(sum(block_count) as bigint) as block_count,
        cast(sum(block_count) as double)
        / sum(sum(block_count)) over (partition by model_id, inference_path) as block_ratio
    from counts
    group by model_id, inference_path, bin

)

select * from final
