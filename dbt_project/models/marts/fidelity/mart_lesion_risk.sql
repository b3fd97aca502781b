{#- Paired t over patients with its own interval, so that interval and p never disagree. Holm's
    correction takes the findings of one model, path and quantity as its family: it holds whatever
    their dependence, and findings share patients. `any` is their union, not one of them. -#}
{%- set names = lesion_quantities('notta') | list -%}
with models as (

    select * from {{ ref('dim_models') }}

),

findings as (

    select finding from {{ ref('int_box_blocks') }}
    group by finding

),

clusters as (

    select * from {{ ref('int_cluster_lesions') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

cells as (

    select
        models.model_id,
        paths.inference_path,
        findings.finding,
        quantities.quantity
    from models
    cross join (values ('notta'), ('tta')) as paths (inference_path)
    cross join findings
    cross join (values
        {%- for name in names %} ('{{ name }}'){{ ',' if not loop.last }}{% endfor %}
    ) as quantities (quantity)

),

measured as (

    select
        model_id,
        inference_path,
        finding,
        quantity,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(*) as cluster_count,
        cast(sum(image_count) as bigint) as image_count,
        cast(sum(inside_block_count) as bigint) as inside_block_count,
        cast(sum(outside_block_count) as bigint) as outside_block_count,
        {{ ordered_mean('inside_mean', 'cluster_id') }} as inside_mean,
        {{ ordered_mean('outside_mean', 'cluster_id') }} as outside_mean,
        {{ ordered_mean('difference', 'cluster_id') }} as difference,
        list(difference order by cluster_id) as differences
    from clusters
    group by model_id, inference_path, finding, quantity

),

estimated as (

    select
        *,
        -- Where no block inside a box collapsed, the differences say how rare it is outside and
        -- no more: no test.
        case
            when cluster_count >= {{ var('min_clusters') }}
                and (quantity != 'collapsed' or inside_mean > 0)
                then {{ standard_error('differences', 'difference') }}
        end as difference_se
    from measured

),

tested as (

    select
        *,
        difference / nullif(difference_se, 0) as t
    from estimated

),

judged as (

    select
        tested.*,
        {{ student_p('tested.t', '(tested.cluster_count - 1)') }} as p_value,
        tested.difference_se * limits.t_limit as half_width
    from tested
    left join limits on tested.cluster_count - 1 = limits.df

),

ranked as (

    select
        *,
        row_number() over (
            partition by model_id, inference_path, quantity
            order by p_value, finding
        ) as position,
        count(*) over (partition by model_id, inference_path, quantity) as family_size
    from judged
    where finding != 'any' and p_value is not null

),

corrected as (

    select
        model_id,
        inference_path,
        finding,
        quantity,
        family_size,
        max(least(1, (family_size - position + 1) * p_value)) over (
            partition by model_id, inference_path, quantity
            order by position rows between unbounded preceding and current row
        ) as p_holm
    from ranked

),

final as (

    select
        cells.model_id,
        cells.inference_path,
        cells.finding,
        cells.quantity,
        judged.cluster_unit,
        coalesce(judged.cluster_count, 0) as cluster_count,
        coalesce(judged.image_count, 0) as image_count,
        coalesce(judged.inside_block_count, 0) as inside_block_count,
        coalesce(judged.outside_block_count, 0) as outside_block_count,
        judged.inside_mean,
        judged.outside_mean,
        judged.difference,
        judged.difference - judged.half_width as difference_low,
        judged.difference + judged.half_width as difference_high,
        judged.t,
        judged.p_value,
        corrected.p_holm,
        corrected.family_size
    from cells
    left join judged
        on cells.model_id = judged.model_id
        and cells.inference_path = judged.inference_path
        and cells.finding = judged.finding
        and cells.quantity = judged.quantity
    left join corrected
        on cells.model_id = corrected.model_id
        and cells.inference_path = corrected.inference_path
        and cells.finding = corrected.finding
        and cells.quantity = corrected.quantity

)

select * from final
