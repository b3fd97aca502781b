{#- Means are over images, intervals resample clusters, p is of a t test over the clusters' own
    means, corrected for their skewness: three answers that agree unless few clusters hold most
    images. -#}
{%- set quantities = ['deficit', 'excess'] -%}
{%- set ratios = {} -%}
{%- for name in quantities -%}
{%- do ratios.update({'mean_' ~ name: ['sum_' ~ name, 'count_' ~ name]}) -%}
{%- endfor -%}
with images as (

    select * from {{ ref('int_image_frame_deficits') }}

),

draws as (

    select * from {{ ref('int_cluster_draws') }}

),

models as (

    select * from {{ ref('dim_models') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clustered as (

    select
        model_id,
        inference_path,
        cluster_id,
        cluster_unit
        {%- for name in quantities %},
        count({{ name }}) as count_{{ name }},
        sum({{ name }}) as sum_{{ name }}
        {%- endfor %}
    from images
    group by model_id, inference_path, cluster_id, cluster_unit

),

replicates as (

    {{ resampled(['model_id', 'inference_path'], ratios) }}

),

intervals as (

    select
        model_id,
        inference_path
        {%- for name in quantities %},
        {{ percentile_ends('mean_' ~ name, name) }}
        {%- endfor %}
    from replicates
    group by model_id, inference_path

),

measured as (

    select
        model_id,
        inference_path,
        {{ cluster_unit('cluster_unit') }} as cluster_unit
        {%- for name in quantities %},
        cast(sum(count_{{ name }}) as bigint) as {{ name }}_image_count,
        count(*) filter (where count_{{ name }} > 0) as {{ name }}_cluster_count,
        cast(sum(sum_{{ name }}) as double) / nullif(sum(count_{{ name }}), 0) as mean_{{ name }},
        list(cast(sum_{{ name }} as double) / count_{{ name }} order by cluster_id)
            filter (where count_{{ name }} > 0) as {{ name }}_values
        {%- endfor %}
    from clustered
    group by model_id, inference_path

),

centred as (

    select
        *
        {%- for name in quantities %},
        list_sum({{ name }}_values) / {{ name }}_cluster_count as {{ name }}_centre
        {%- endfor %}
    from measured

),

spread as (

    select
        *
        {%- for name in quantities %},
        nullif({{ standard_error(name ~ '_values', name ~ '_centre') }}, 0) as {{ name }}_error
        {%- endfor %}
    from centred

),

tested as (

    select
        *
        {%- for name in quantities %},
        {{ name }}_centre / {{ name }}_error as {{ name }}_t,
        {{ skew_of_mean(name ~ '_values', name ~ '_centre', name ~ '_error') }} as {{ name }}_skew
        {%- endfor %}
    from spread

),

final as (

    select
        models.model_id,
        paths.inference_path,
        tested.cluster_unit
        {%- for name in quantities %},
        coalesce(tested.{{ name }}_image_count, 0) as {{ name }}_image_count,
        coalesce(tested.{{ name }}_cluster_count, 0) as {{ name }}_cluster_count,
        tested.mean_{{ name }} as {{ name }},
        {%- for end in ['low', 'high'] %}
        {{ interval_end(
            'tested.mean_' ~ name, 'intervals.' ~ name ~ '_' ~ end,
            'tested.' ~ name ~ '_cluster_count', name ~ '_limits', -2, 2
        ) }} as {{ name }}_{{ end }},
        {%- endfor %}
        case
            when tested.{{ name }}_cluster_count >= {{ var('min_clusters') }}
                then {{ student_p(
                    '(' ~ corrected_t('tested.' ~ name ~ '_t', 'tested.' ~ name ~ '_skew') ~ ')',
                    '(tested.' ~ name ~ '_cluster_count - 1)'
                ) }}
        end as {{ name }}_p_value
        {%- endfor %}
    from models
    cross join (values ('notta'), ('tta')) as paths (inference_path)
    left join tested
        on models.model_id = tested.model_id
        and paths.inference_path = tested.inference_path
    left join intervals
        on models.model_id = intervals.model_id
        and paths.inference_path = intervals.inference_path
    {%- for name in quantities %}
    left join limits as {{ name }}_limits
        on tested.{{ name }}_cluster_count - 1 = {{ name }}_limits.df
    {%- endfor %}

)

select * from final
