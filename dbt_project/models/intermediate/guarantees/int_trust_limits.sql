{#- Conformal risk control (definitions E.15). With L_i(k) the share of patient i's bad blocks at
    or below limit k, 0 where he has none, and R(k) their mean over n patients, the limit is the
    largest k with (n R(k) + 1) / (n + 1) <= alpha: one below the first that fails, for R only
    rises. A limit of the frozen file stands as it is. -#}
{%- set keys = ['model_id', 'inference_path', 'score'] -%}
{%- set levels = constant('trust_levels') -%}
with counts as (

    select * from {{ ref('int_image_trust_levels') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

frozen as (

    select * from {{ ref('stg_raw__frozen_guarantees') }}

),

alphas as (

    select cast(unnest({{ trust_alphas() }}) as double) as alpha_ratio

),

units as (

    {{ trust_units() }}

),

clustered as (

    select
        {%- for key in keys %}
        counts.{{ key }},
        {%- endfor %}
        clusters.cluster_id,
        clusters.cluster_unit,
        counts.trust_level,
        sum(counts.block_count) as block_count
        {%- for loss in trust_losses('notta') %},
        sum(counts.{{ loss }}_count) as {{ loss }}_count
        {%- endfor %}
    from counts
    inner join clusters on counts.image_id = clusters.image_id
    group by
        {%- for key in keys %} counts.{{ key }},{% endfor %}
        clusters.cluster_id, clusters.cluster_unit, counts.trust_level

),

patients as (

    select
        *
        {%- for loss in trust_losses('notta') %},
        sum({{ loss }}_count) over patient as {{ loss }}_total
        {%- endfor %}
    from clustered
    window patient as (partition by {{ keys | join(', ') }}, cluster_id)

),

-- What a level adds to the sum of the patients' losses: exact, in twelve decimals.
steps as (

    {%- for loss in trust_losses('notta') %}
    select
        {{ keys | join(', ') }},
        '{{ loss }}' as loss,
        trust_level,
        sum(cast(
            coalesce(cast({{ loss }}_count as double) / nullif({{ loss }}_total, 0), 0)
            as decimal(18, 12)
        )) as loss_step
    from patients
    group by {{ keys | join(', ') }}, trust_level
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

sizes as (

    {%- for loss, bad in trust_losses('notta').items() %}
    select
        {{ keys | join(', ') }},
        '{{ loss }}' as loss,
        {{ bad.limit_dn2 }} as loss_limit_dn2,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(distinct cluster_id) as cluster_count,
        cast(sum(block_count) as bigint) as block_count,
        cast(coalesce(
            sum(block_count) filter (where trust_level <= {{ levels }}), 0
        ) as bigint) as scored_block_count,
        cast(sum({{ loss }}_count) as bigint) as bad_block_count
    from clustered
    group by {{ keys | join(', ') }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

summed as (

    select
        {{ keys | join(', ') }},
        loss,
        trust_level,
        sum(loss_step) over (
            partition by {{ keys | join(', ') }}, loss
            order by trust_level rows between unbounded preceding and current row
        ) as loss_sum
    from steps

),

-- Nine digits, by which a bound that is met is met: of thirds, twelve decimals leave some unsaid.
bounded as (

    select
        summed.*,
        round(
            (cast(summed.loss_sum as double) + 1) / (sizes.cluster_count + 1), 9
        ) as bound_ratio
    from summed
    inner join sizes
        on
        {%- for key in keys + ['loss'] %}
        {{ 'and ' if not loop.first }}summed.{{ key }} = sizes.{{ key }}
        {%- endfor %}
    where summed.trust_level <= {{ levels }}

),

-- A limit that fails is at a level that some block has: between two of them R stays as it is.
chosen as (

    select
        sizes.model_id,
        sizes.inference_path,
        sizes.score,
        sizes.loss,
        alphas.alpha_ratio,
        coalesce(
            min(bounded.trust_level) filter (where bounded.bound_ratio > alphas.alpha_ratio) - 1,
            {{ levels }}
        ) as own_level,
        max(bounded.bound_ratio) filter (where bounded.bound_ratio <= alphas.alpha_ratio)
            as own_bound_ratio
    from sizes
    cross join alphas
    left join bounded
        on
        {%- for key in keys + ['loss'] %}
        {{ 'and ' if not loop.first }}sizes.{{ key }} = bounded.{{ key }}
        {%- endfor %}
    group by sizes.model_id, sizes.inference_path, sizes.score, sizes.loss, alphas.alpha_ratio

),

sourced as (

    select
        sizes.*,
        chosen.alpha_ratio,
        chosen.own_level,
        round(1 / cast(sizes.cluster_count + 1 as double), 9) as least_alpha,
        coalesce(
            chosen.own_bound_ratio, round(1 / cast(sizes.cluster_count + 1 as double), 9)
        ) as own_bound_ratio,
        units.unit,
        frozen.study_name,
        frozen.limit_score as frozen_limit,
        frozen.cluster_count as frozen_cluster_count,
        frozen.bound_ratio as frozen_bound_ratio
    from sizes
    inner join chosen
        on
        {%- for key in keys + ['loss'] %}
        {{ 'and ' if not loop.first }}sizes.{{ key }} = chosen.{{ key }}
        {%- endfor %}
    inner join units on sizes.score = units.score
    left join frozen
        on
        {%- for key in keys + ['loss'] %}
        {{ 'and ' if not loop.first }}sizes.{{ key }} = frozen.{{ key }}
        {%- endfor %}
        and chosen.alpha_ratio = frozen.alpha_ratio
        and sizes.loss_limit_dn2 = frozen.loss_limit_dn2

),

-- A limit of another grid is that of this one at or below it, which promises no less.
frozen_levels as (

    select
        sourced.*,
        (
            select count(*)
            from range(1, {{ levels + 1 }}) as grid (number)
            where {{ trust_limit('grid.number', 'sourced.unit') }} <= sourced.frozen_limit
        ) as frozen_level
    from sourced

),

judged as (

    select
        *,
        case
            when scored_block_count = 0 then 'no block has the score'
            when study_name is not null then null
            when cluster_count < {{ var('min_clusters') }}
                then 'an own limit takes {{ var('min_clusters') }} patients, n = ' || cluster_count
            when least_alpha > alpha_ratio
                then 'alpha is below 1 / (n + 1) = ' || format('{:.4f}', least_alpha) || ', n = '
                    || cluster_count
        end as obstacle
    from frozen_levels

),

final as (

    select
        {{ keys | join(', ') }},
        loss,
        alpha_ratio,
        loss_limit_dn2,
        unit,
        cluster_unit,
        cluster_count,
        block_count,
        scored_block_count,
        bad_block_count,
        least_alpha,
        case
            when obstacle is null then coalesce(study_name, 'own')
        end as limit_source,
        case
            when obstacle is not null then null
            when study_name is not null then frozen_level
            else own_level
        end as limit_level,
        case
            when obstacle is not null then null
            when study_name is not null then frozen_cluster_count
            else cluster_count
        end as limit_cluster_count,
        case
            when obstacle is not null then null
            when study_name is not null then frozen_bound_ratio
            else own_bound_ratio
        end as bound_ratio,
        obstacle
    from judged

)

select * from final
