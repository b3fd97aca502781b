{#- Holm's correction holds whatever the dependence, and pairs share models, images and patients. A
    family is the pairs of one quantity and inference path, in all subgroups of a kind. -#}
{%- set family = 'source_id, inference_path, subgroup_kind, quantity' -%}
{%- set keys = [
    'source_id', 'model_a', 'model_b', 'inference_path', 'subgroup_kind', 'subgroup', 'quantity'
] -%}
with estimates as (

    select * from {{ ref('int_mean_estimates') }}
    where model_b is not null

),

judged as (

    select
        *,
        {{ student_p('t', '(cluster_count - 1)') }} as p_value
    from estimates

),

ranked as (

    select
        *,
        row_number() over (
            partition by {{ family }} order by p_value, model_a, model_b, subgroup
        ) as position,
        count(*) over (partition by {{ family }}) as family_size
    from judged
    where p_value is not null

),

families as (

    select
        {{ keys | join(', ') }},
        family_size,
        max(least(1, (family_size - position + 1) * p_value)) over (
            partition by {{ family }}
            order by position rows between unbounded preceding and current row
        ) as p_holm
    from ranked

),

final as (

    select
        judged.source_id,
        judged.model_a,
        judged.model_b,
        judged.inference_path,
        judged.subgroup_kind,
        judged.subgroup,
        judged.quantity,
        judged.level,
        judged.unit,
        judged.cluster_unit,
        judged.cluster_count,
        judged.image_count,
        judged.mean_a,
        judged.mean_a - judged.mean as mean_b,
        judged.mean as difference,
        judged.low as difference_low,
        judged.high as difference_high,
        judged.t,
        judged.p_value,
        case
            when families.family_size is not null
                then judged.source_id || ': ' || judged.quantity || ', ' || judged.inference_path
                    || ', ' || judged.subgroup_kind
        end as family,
        families.family_size,
        families.p_holm
    from judged
    left join families
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} judged.{{ column }} = families.{{ column }}
        {%- endfor %}

)

select * from final
