{#- Means over patients of what an area holds, of how it differs from the area of code 1 in the same
    images, and of how that exceeds the baseline's; each with an interval, the inverse of a t test
    corrected for skewness (macros/skewed_means.sql), from as many patients on as it holds for. -#}
{%- set quantities = area_quantities() -%}
{%- set keys = ['area_kind', 'area_code', 'model_id', 'inference_path'] -%}
{%- set key = keys | join(', ') -%}
with areas as (

    select * from {{ ref('int_area_values') }}

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

contrasted as (

    select
        areas.*
        {%- for name in quantities %},
        areas.{{ name }} - common.{{ name }} as difference_{{ name }}
        {%- endfor %}
    from areas
    left join areas as common
        on areas.area_kind = common.area_kind
        and areas.model_id = common.model_id
        and areas.inference_path = common.inference_path
        and areas.image_id = common.image_id
        and common.area_code = 1
        and areas.area_code != 1

),

compared as (

    select
        contrasted.*
        {%- for name in quantities %},
        contrasted.{{ name }} as mean_{{ name }},
        contrasted.difference_{{ name }} - baseline.difference_{{ name }} as excess_{{ name }}
        {%- endfor %}
    from contrasted
    cross join parameters
    left join contrasted as baseline
        on contrasted.area_kind = baseline.area_kind
        and contrasted.area_code = baseline.area_code
        and contrasted.image_id = baseline.image_id
        and baseline.model_id = parameters.baseline_model
        and baseline.inference_path = 'notta'
        and (contrasted.model_id, contrasted.inference_path)
        != (parameters.baseline_model, 'notta')

),

-- A patient's mean has the twelve decimals of an image's, so that equal ones have no spread.
clustered as (

    select
        {{ key }},
        cluster_id,
        cluster_unit,
        sum(block_count) as block_count
        {%- for measure in area_measures() %}
        {%- for name in quantities %},
        count({{ measure }}_{{ name }}) as count_{{ measure }}_{{ name }},
        round(
            cast(sum({{ measure }}_{{ name }}) as double)
            / nullif(count({{ measure }}_{{ name }}), 0),
            12
        ) as {{ measure }}_{{ name }}
        {%- endfor %}
        {%- endfor %}
    from compared
    group by {{ key }}, cluster_id, cluster_unit

),

-- Every quantity in one pass, as a list: a union of passes takes many times as long.
gathered as (

    select
        {{ key }},
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        cast(sum(block_count) as bigint) as block_count,
        [
            {%- for measure in area_measures() %}
            {%- set outer_last = loop.last %}
            {%- for name, (unit, lowest, highest, part, whole) in quantities.items() %}
            {%- set is_mean = measure == 'mean' %}
            {
                'quantity': '{{ name }}',
                'unit': '{{ unit }}',
                'measure': '{{ measure }}',
                'lowest': cast({{ lowest if is_mean else 'null' }} as double),
                'highest': cast({{ highest if is_mean else 'null' }} as double),
                'image_count': cast(sum(count_{{ measure }}_{{ name }}) as bigint),
                'patients': list({{ measure }}_{{ name }} order by cluster_id)
                    filter (where {{ measure }}_{{ name }} is not null)
            }{{ ',' if not (loop.last and outer_last) }}
            {%- endfor %}
            {%- endfor %}
        ] as items
    from clustered
    group by {{ key }}

),

listed as (

    select
        {{ key }},
        cluster_unit,
        block_count,
        unnest(items) as item
    from gathered

),

measured as (

    select
        {{ key }},
        cluster_unit,
        block_count,
        item.quantity,
        item.unit,
        item.measure,
        item.lowest,
        item.highest,
        item.image_count,
        item.patients,
        coalesce(len(item.patients), 0) as cluster_count,
        list_sum(item.patients) / len(item.patients) as estimate
    from listed

),

tested as (

    select
        *,
        case
            when cluster_count >= {{ constant('least_tested') }}
                then nullif({{ standard_error('patients', 'estimate') }}, 0)
        end as tested_error
    from measured

),

skewed as (

    select
        *,
        {{ skew_of_mean('patients', 'estimate', 'tested_error') }} as skew
    from tested

),

ranged as (

    select
        skewed.*,
        {%- for end in interval_ends() %}
        {{ skewed_end(
            'skewed.estimate', 'skewed.tested_error', 'limits.t_limit', 'skewed.skew', end
        ) }} as {{ end }}{{ ',' if not loop.last }}
        {%- endfor %}
    from skewed
    left join limits on skewed.cluster_count - 1 = limits.df

),

-- An interval ends where its values do; greatest and least skip NULL.
final as (

    select
        {{ key }},
        quantity,
        unit,
        measure,
        case when cluster_count > 0 then cluster_unit end as cluster_unit,
        block_count,
        cluster_count,
        image_count,
        estimate,
        case when low is not null then greatest(low, lowest) end as low,
        case when high is not null then least(high, highest) end as high
    from ranged

)

select * from final
