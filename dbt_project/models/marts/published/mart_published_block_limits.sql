{#- The limits of mart_limits, of published blocks: the same quantiles of the same roundings, of a
    label's notta blocks, and where limits are of one model, of its own. -#}
with blocks as (

    select * from {{ ref('fct_published_blocks') }}

),

counts as (

    {%- for quantity in ['abs_pc1', 'local_ssim', 'mse_dn2'] %}
    {%- set value = counted_quantities()[quantity] %}
    select
        label,
        {{ "''" if quantity == 'abs_pc1' else 'model_id' }} as model_id,
        '{{ quantity }}' as quantity,
        cast({{ value }} as {{ fixed_dn2() }}) as value,
        count(*) as block_count
    from blocks
    where {{ value }} is not null
    group by label, {{ 'model_id, ' if quantity != 'abs_pc1' }}{{ value }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

cumulated as (

    select
        *,
        sum(block_count) over (
            partition by label, model_id, quantity
            order by value rows between unbounded preceding and current row
        ) as blocks_so_far,
        sum(block_count) over (partition by label, model_id, quantity) as blocks_in_all
    from counts

),

limits as (

    select
        label,
        model_id,
        min(value) filter (
            where quantity = 'abs_pc1' and {{ reaches(constant('tau_pct')) }}
        ) as tau,
        min(value) filter (
            where quantity = 'local_ssim' and {{ reaches(constant('hidden_pct')) }}
        ) as ssim_p90,
        min(value) filter (
            where quantity = 'mse_dn2' and {{ reaches(constant('masked_pct')) }}
        ) as mse_q75_dn2,
        max(blocks_in_all) filter (where quantity = 'local_ssim') as block_count,
        max(blocks_in_all) filter (where quantity = 'abs_pc1') as pooled_block_count
    from cumulated
    group by label, model_id

),

models as (

    select
        label,
        model_id
    from blocks
    group by label, model_id

),

final as (

    select
        models.label,
        models.model_id,
        cast(shared.tau as {{ fixed() }}) as tau,
        cast(own.ssim_p90 as {{ fixed() }}) as ssim_p90,
        cast(own.mse_q75_dn2 as {{ fixed_dn2() }}) as mse_q75_dn2,
        cast({{ var('error_limit_dn2') }} as {{ fixed_dn2() }}) as error_limit_dn2,
        cast(0 as smallint) as contradicted_limit_px,
        cast(coalesce(shared.pooled_block_count, 0) as bigint) as pooled_block_count,
        cast(coalesce(own.block_count, 0) as bigint) as block_count
    from models
    left join limits as shared on models.label = shared.label and shared.model_id = ''
    left join limits as own on models.label = own.label and models.model_id = own.model_id

)

select * from final
