{#- Means over patients of each model's images, and of the differences of two models on the images
    that both have; each with an interval, the inverse of a t test corrected for skewness
    (macros/skewed_means.sql), from as many patients on as it holds for. A patient's mean is rounded
    to the twelve decimals of an image's value, so that equal ones are equal and have no spread. Of
    very many models only the pairs with the baseline: pairs grow with the square. -#}
{%- set names = compared_quantities() -%}
{%- set keys = [
    'source_id', 'inference_path', 'model_a', 'model_b', 'subgroup_kind', 'subgroup'
] -%}
{%- set key = keys | join(', ') -%}
with images as (

    select * from {{ ref('int_image_quantities') }}

),

subgroups as (

    select * from {{ ref('int_image_subgroups') }}

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

quantities as (

    select * from {{ ref('int_quantities') }}

),

models as (

    select
        source_id,
        model_id,
        count(*) over (partition by source_id) as model_count
    from images
    group by source_id, model_id

),

pairs as (

    select
        first.source_id,
        first.model_id as model_a,
        second.model_id as model_b
    from models as first
    inner join models as second
        on first.source_id = second.source_id
        and first.model_id < second.model_id
    cross join parameters
    where first.model_count <= {{ constant('most_paired') }}
        or parameters.baseline_model in (first.model_id, second.model_id)

),

compared as (

    select
        source_id,
        inference_path,
        model_id as model_a,
        cast(null as varchar) as model_b,
        image_id,
        cluster_id,
        cluster_unit
        {%- for name in names %},
        {{ name }} as value_{{ name }},
        {{ name }} as first_{{ name }}
        {%- endfor %}
    from images
    union all
    select
        first.source_id,
        first.inference_path,
        first.model_id as model_a,
        second.model_id as model_b,
        first.image_id,
        first.cluster_id,
        first.cluster_unit
        {%- for name in names %},
        first.{{ name }} - second.{{ name }} as value_{{ name }},
        case when second.{{ name }} is not null then first.{{ name }} end as first_{{ name }}
        {%- endfor %}
    from pairs
    inner join images as first
        on pairs.source_id = first.source_id
        and pairs.model_a = first.model_id
    inner join images as second
        on pairs.source_id = second.source_id
        and pairs.model_b = second.model_id
        and first.inference_path = second.inference_path
        and first.image_id = second.image_id

),

clustered as (

    select
        compared.source_id,
        compared.inference_path,
        compared.model_a,
        compared.model_b,
        subgroups.subgroup_kind,
        subgroups.subgroup,
        compared.cluster_id,
        compared.cluster_unit
        {%- for name in names %},
        count(compared.value_{{ name }}) as count_{{ name }},
        round(
            cast(sum(compared.value_{{ name }}) as double)
            / nullif(count(compared.value_{{ name }}), 0),
            12
        ) as value_{{ name }},
        cast(sum(compared.first_{{ name }}) as double)
        / nullif(count(compared.first_{{ name }}), 0) as first_{{ name }}
        {%- endfor %}
    from compared
    inner join subgroups on compared.image_id = subgroups.image_id
    group by
        compared.source_id, compared.inference_path, compared.model_a, compared.model_b,
        subgroups.subgroup_kind, subgroups.subgroup, compared.cluster_id, compared.cluster_unit

),

-- Every quantity in one pass, as a list: a union of passes takes many times as long.
gathered as (

    select
        {{ key }},
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        [
            {%- for name in names %}
            {
                'quantity': '{{ name }}',
                'image_count': cast(sum(count_{{ name }}) as bigint),
                'mean_a': {{ ordered_mean('first_' ~ name, 'cluster_id') }},
                'patients': list(value_{{ name }} order by cluster_id)
                    filter (where value_{{ name }} is not null)
            }{{ ',' if not loop.last }}
            {%- endfor %}
        ] as items
    from clustered
    group by {{ key }}

),

listed as (

    select
        {{ key }},
        cluster_unit,
        unnest(items) as item
    from gathered

),

measured as (

    select
        {{ key }},
        cluster_unit,
        item.quantity,
        item.image_count,
        item.mean_a,
        item.patients,
        coalesce(len(item.patients), 0) as cluster_count,
        list_sum(item.patients) / len(item.patients) as mean
    from listed

),

spread as (

    select
        *,
        {{ standard_error('patients', 'mean') }} as standard_error
    from measured

),

estimated as (

    select
        *,
        case
            when cluster_count >= {{ constant('least_tested') }} then nullif(standard_error, 0)
        end as tested_error
    from spread

),

skewed as (

    select
        *,
        mean / tested_error as t_plain,
        {{ skew_of_mean('patients', 'mean', 'tested_error') }} as skew
    from estimated

),

ranged as (

    select
        skewed.*,
        {%- for end in interval_ends() %}
        {{ skewed_end(
            'skewed.mean', 'skewed.tested_error', 'limits.t_limit', 'skewed.skew', end
        ) }} as {{ end }}{{ ',' if not loop.last }}
        {%- endfor %}
    from skewed
    left join limits on skewed.cluster_count - 1 = limits.df

),

-- A mean's interval ends where its values do; greatest and least skip NULL.
final as (

    select
        ranged.source_id,
        ranged.inference_path,
        ranged.model_a,
        ranged.model_b,
        ranged.subgroup_kind,
        ranged.subgroup,
        ranged.quantity,
        quantities.level,
        quantities.unit,
        case when ranged.cluster_count > 0 then ranged.cluster_unit end as cluster_unit,
        ranged.cluster_count,
        ranged.image_count,
        ranged.mean_a,
        ranged.mean,
        ranged.standard_error * sqrt(ranged.cluster_count) as sd,
        case
            when ranged.model_b is not null or ranged.low is null then ranged.low
            else greatest(ranged.low, quantities.lowest)
        end as low,
        case
            when ranged.model_b is not null or ranged.high is null then ranged.high
            else least(ranged.high, quantities.highest)
        end as high,
        {{ corrected_t('ranged.t_plain', 'ranged.skew') }} as t
    from ranged
    inner join quantities on ranged.quantity = quantities.quantity

)

select * from final
