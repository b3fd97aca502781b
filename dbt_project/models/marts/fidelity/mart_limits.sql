{#- Limits of block states, from notta blocks and then the same for tta, but for the error's, which
    the study declares: tau over the models that
    the study's own axis is fitted on, the others of each model. A frozen study takes what is
    shared, and every limit of a model that was there, from its file; a model that came later has
    its own quantiles. -#}
with counts as (

    select * from {{ ref('int_value_counts') }}

),

models as (

    select * from {{ ref('dim_models') }}

),

scales as (

    select * from {{ ref('int_direction_scales') }}

),

frozen as (

    select * from {{ ref('stg_raw__frozen_limits') }}

),

-- In the group '' the models that share an axis; in one of its name each model.
grouped as (

    select
        '' as model_id,
        quantity,
        value,
        sum(block_count) as block_count
    from counts
    where quantity = 'abs_pc1' and {{ is_axis_model('model_id') }}
    group by quantity, value
    union all
    select
        model_id,
        quantity,
        value,
        sum(block_count) as block_count
    from counts
    where quantity in ('local_ssim', 'mse_dn2')
    group by model_id, quantity, value

),

cumulated as (

    select
        *,
        sum(block_count) over (
            partition by model_id, quantity
            order by value rows between unbounded preceding and current row
        ) as blocks_so_far,
        sum(block_count) over (partition by model_id, quantity) as blocks_in_all
    from grouped

),

model_limits as (

    select
        model_id,
        min(value) filter (
            where quantity = 'local_ssim' and {{ reaches(constant('hidden_pct')) }}
        ) as ssim_p90,
        min(value) filter (
            where quantity = 'mse_dn2' and {{ reaches(constant('masked_pct')) }}
        ) as mse_q75_dn2,
        max(blocks_in_all) filter (where quantity = 'local_ssim') as block_count
    from cumulated
    where model_id != ''
    group by model_id

),

-- One row: a frozen tau is the same in every row of the file.
shared_limits as (

    select
        {%- if is_frozen() %}
        max(tau) as tau,
        max(pooled_block_count) as pooled_block_count
    from frozen
        {%- else %}
        min(value) filter (where {{ reaches(constant('tau_pct')) }}) as tau,
        max(blocks_in_all) as pooled_block_count
    from cumulated
    where model_id = ''
        {%- endif %}

),

direction_limits as (

    select
        {%- for component in limited_components() %}
        {{ constant('direction_spreads') }}
        * max(robust_sd) filter (where component = '{{ component }}') as limit_{{ component }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from scales

),

final as (

    select
        models.model_id,
        cast(shared_limits.tau as {{ fixed() }}) as tau,
        cast(coalesce(frozen.ssim_p90, model_limits.ssim_p90) as {{ fixed() }}) as ssim_p90,
        cast(coalesce(frozen.mse_q75_dn2, model_limits.mse_q75_dn2) as {{ fixed_dn2() }})
            as mse_q75_dn2,
        cast({{ var('error_limit_dn2') }} as {{ fixed_dn2() }}) as error_limit_dn2,
        -- One contradicted LR pixel is proof: nothing to choose.
        cast(0 as smallint) as contradicted_limit_px
        {%- for component in limited_components() %},
        cast(direction_limits.limit_{{ component }} as {{ fixed() }}) as limit_{{ component }}
        {%- endfor %},
        cast(coalesce(shared_limits.pooled_block_count, 0) as bigint) as pooled_block_count,
        cast(coalesce(frozen.block_count, model_limits.block_count, 0) as bigint) as block_count
    from models
    cross join shared_limits
    cross join direction_limits
    left join model_limits on models.model_id = model_limits.model_id
    left join frozen on models.model_id = frozen.model_id

)

select * from final
