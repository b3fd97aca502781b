{#- Do calls turn over more in images that say more than their input holds? Mean of what an image
    says too much, over readings whose call turned over, less the same over those whose call stood.
    A patient's readings go together: the variance is of the patients' sums of deviations, by
    linearisation; of the interval from the mean of their kind, of the test from the common one,
    and of ranks, for values lean far to one side. Holm's families are the models and paths of one
    reader and quantity. -#}
{%- set keys = ['reader', 'model_id', 'inference_path', 'quantity'] -%}
{%- set key = keys | join(', ') -%}
{%- set quantities = {
    'lr_contradicted_ratio': 'images.lr_contradicted_ratio',
    'invented_ratio': 'images.invented_dn2 / nullif(images.mse_dn2, 0)',
} -%}
with readings as (

    select * from {{ ref('fct_readings') }}
    where subject = 'restored' and is_current and is_flipped is not null

),

images as (

    select * from {{ ref('int_image_quantities') }}
    where source_id = 'images'

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

joined as (

    {%- for name, value in quantities.items() %}
    select
        readings.reader,
        readings.model_id,
        readings.inference_path,
        '{{ name }}' as quantity,
        readings.image_id,
        readings.finding,
        readings.cluster_id,
        readings.cluster_unit,
        readings.is_flipped,
        cast({{ value }} as double) as value
    from readings
    inner join images
        on readings.model_id = images.model_id
        and readings.inference_path = images.inference_path
        and readings.image_id = images.image_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

-- Midranks, twice: whole numbers.
placed as (

    select
        *,
        rank() over (partition by {{ key }} order by value)
        + count(*) over (partition by {{ key }} order by value) as place
    from joined
    where value is not null

),

-- In order, so that sums of doubles are the same everywhere.
clustered as (

    select
        {{ key }},
        cluster_id,
        cluster_unit
        {%- for name, condition in {'flipped': 'is_flipped', 'kept': 'not is_flipped'}.items() %},
        count(value) filter (where {{ condition }}) as {{ name }}_count,
        coalesce(
            list_sum(list(value order by image_id, finding) filter (where {{ condition }})), 0
        ) as {{ name }}_sum,
        cast(coalesce(sum(place) filter (where {{ condition }}), 0) as double) as {{ name }}_places
        {%- endfor %}
    from placed
    group by {{ key }}, cluster_id, cluster_unit

),

summed as (

    select
        {{ key }},
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(*) as cluster_count
        {%- for name in ['flipped', 'kept'] %},
        count(*) filter (where {{ name }}_count > 0) as {{ name }}_cluster_count,
        least(
            count(*) filter (where {{ name }}_sum > 0),
            count(*) filter (where {{ name }}_sum < {{ name }}_count)
        ) as {{ name }}_varied_count,
        cast(sum({{ name }}_count) as bigint) as {{ name }}_count,
        list_sum(list({{ name }}_sum order by cluster_id)) / nullif(sum({{ name }}_count), 0)
            as {{ name }}_mean,
        sum({{ name }}_places) / nullif(sum({{ name }}_count), 0) as {{ name }}_place
        {%- endfor %},
        sum(flipped_places + kept_places) / sum(flipped_count + kept_count) as mean_place
    from clustered
    group by {{ key }}

),

deviations as (

    select
        clustered.{{ keys | join(',\n        clustered.') }},
        clustered.cluster_id,
        (clustered.flipped_sum - clustered.flipped_count * summed.flipped_mean)
        / summed.flipped_count
        - (clustered.kept_sum - clustered.kept_count * summed.kept_mean)
        / summed.kept_count as deviation,
        (clustered.flipped_places - clustered.flipped_count * summed.mean_place)
        / summed.flipped_count
        - (clustered.kept_places - clustered.kept_count * summed.mean_place)
        / summed.kept_count as displacement
    from clustered
    inner join summed
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} clustered.{{ column }} = summed.{{ column }}
        {%- endfor %}

),

varied as (

    select
        {{ key }},
        list_sum(list(deviation * deviation order by cluster_id))
        * count(*) / nullif(count(*) - 1, 0) as variance,
        list_sum(list(displacement * displacement order by cluster_id)) as place_variance
    from deviations
    group by {{ key }}

),

spread as (

    select
        summed.*,
        summed.flipped_mean - summed.kept_mean as difference,
        summed.flipped_place - summed.kept_place as place_difference,
        least(summed.flipped_cluster_count, summed.kept_cluster_count) - 1 as df,
        -- Of few patients who are not at 0, or not at 1, their spread says less than there is.
        {%- for name, variance in {'standard': 'variance', 'place': 'place_variance'}.items() %}
        case
            when least(summed.flipped_varied_count, summed.kept_varied_count)
                >= {{ var('min_clusters') }}
                then sqrt(nullif(varied.{{ variance }}, 0))
        end as {{ name }}_error{{ ',' if not loop.last }}
        {%- endfor %}
    from summed
    left join varied
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} summed.{{ column }} = varied.{{ column }}
        {%- endfor %}

),

judged as (

    select
        spread.*,
        spread.place_difference / spread.place_error as t,
        {{ student_p('(spread.place_difference / spread.place_error)', 'spread.df') }} as p_value,
        spread.difference - limits.t_limit * spread.standard_error as low,
        spread.difference + limits.t_limit * spread.standard_error as high
    from spread
    left join limits on spread.df = limits.df

),

ranked as (

    select
        *,
        row_number() over (
            partition by reader, quantity order by p_value, model_id, inference_path
        ) as position,
        count(*) over (partition by reader, quantity) as family_size
    from judged
    where p_value is not null

),

families as (

    select
        {{ key }},
        family_size,
        max(least(1, (family_size - position + 1) * p_value)) over (
            partition by reader, quantity
            order by position rows between unbounded preceding and current row
        ) as p_holm
    from ranked

),

final as (

    select
        judged.{{ keys | join(',\n        judged.') }},
        judged.cluster_unit,
        judged.cluster_count,
        judged.flipped_cluster_count,
        judged.kept_cluster_count,
        judged.flipped_count,
        judged.kept_count,
        round(judged.flipped_mean, 9) as flipped_mean,
        round(judged.kept_mean, 9) as kept_mean,
        round(judged.difference, 9) as difference,
        round(judged.low, 9) as difference_low,
        round(judged.high, 9) as difference_high,
        judged.t,
        judged.p_value,
        families.p_holm,
        families.family_size
    from judged
    left join families
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} judged.{{ column }} = families.{{ column }}
        {%- endfor %}

)

select * from final
