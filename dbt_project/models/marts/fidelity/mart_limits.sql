{{ config(materialized='incremental') }}

{#- Limits of block states, from notta blocks and then the same for tta. Values are counted and
    quantiles read from the counts, as int_direction_scales does: exact, without a sort. A frozen
    study takes what is shared, and every limit of a model that was there, from its file; a model
    that came later has its own quantiles, of the blocks that came with it. -#}
{%- set own_limits = {
    'ssim': {'value': 'local_ssim_notta', 'keys': ['model_id'], 'share': [9, 10]},
    'mse': {'value': 'mse_dn2_notta', 'keys': ['model_id'], 'share': [3, 4]},
} -%}
{%- set shared_limits = {
    'pc1': {'value': 'round(abs(pc1_notta), 4)', 'keys': [], 'share': [19, 20]},
} -%}
{%- set limits = own_limits if is_frozen() else dict(shared_limits, **own_limits) -%}
with blocks as (

    select * from {{ ref('fct_blocks') }}
    {{ added_blocks() }}

),

models as (

    select * from {{ ref('dim_models') }}
    {%- if is_growing() %}
    where model_id not in (select model_id from {{ this }})
    {%- endif %}

),

scales as (

    select * from {{ ref('int_direction_scales') }}

),

{% if is_frozen() -%}
frozen as (

    select * from {{ ref('stg_raw__frozen_limits') }}

),

{% endif -%}
{% for name, limit in limits.items() %}
{%- set keys = limit['keys'] | join(', ') -%}
{{ name }}_counts as (

    select
        {%- for key in limit['keys'] %}
        {{ key }},
        {%- endfor %}
        {{ limit['value'] }} as value,
        count(*) as block_count
    from blocks
    where {{ limit['value'] }} is not null
        {%- if is_frozen() %}
        and model_id not in (select model_id from frozen)
        {%- endif %}
    group by {{ (limit['keys'] + [limit['value']]) | join(', ') }}

),

{{ name }}_cumulated as (

    select
        *,
        sum(block_count) over (
            {{ 'partition by ' ~ keys if keys }}
            order by value rows between unbounded preceding and current row
        ) as blocks_so_far,
        sum(block_count) over ({{ 'partition by ' ~ keys if keys }}) as blocks_in_all
    from {{ name }}_counts

),

{{ name }}_limits as (

    select
        {%- for key in limit['keys'] %}
        {{ key }},
        {%- endfor %}
        min(value) as value,
        max(blocks_in_all) as block_count
    from {{ name }}_cumulated
    where {{ limit['share'][1] }} * blocks_so_far >= {{ limit['share'][0] }} * blocks_in_all
    {{ 'group by ' ~ keys if keys }}

),

{% endfor -%}
{% if is_frozen() -%}
-- The same in every row of the file.
pc1_limits as (

    select
        max(tau) as value,
        max(pooled_block_count) as block_count
    from frozen

),

{% endif -%}
direction_limits as (

    select
        {%- for component in limited_components() %}
        2 * max(robust_sd) filter (where component = '{{ component }}') as limit_{{ component }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from scales

),

final as (

    select
        models.model_id,
        cast(pc1_limits.value as {{ fixed() }}) as tau,
        {%- if is_frozen() %}
        coalesce(frozen.ssim_p90, ssim_limits.value) as ssim_p90,
        coalesce(frozen.mse_q75_dn2, mse_limits.value) as mse_q75_dn2
        {%- else %}
        ssim_limits.value as ssim_p90,
        mse_limits.value as mse_q75_dn2
        {%- endif %}
        {%- for component in limited_components() %},
        cast(direction_limits.limit_{{ component }} as {{ fixed() }}) as limit_{{ component }}
        {%- endfor %},
        cast(coalesce(pc1_limits.block_count, 0) as bigint) as pooled_block_count,
        cast(coalesce(
            {{ 'frozen.block_count, ' if is_frozen() }}ssim_limits.block_count, 0
        ) as bigint) as block_count
    from models
    cross join pc1_limits
    cross join direction_limits
    left join ssim_limits on models.model_id = ssim_limits.model_id
    left join mse_limits on models.model_id = mse_limits.model_id
    {%- if is_frozen() %}
    left join frozen on models.model_id = frozen.model_id
    {%- endif %}

)

select * from final
