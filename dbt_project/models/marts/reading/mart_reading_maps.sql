{#- Means over patients of what a reader's map of an image has in common with its map of the
    reference, with the interval that is corrected for skewness (macros/skewed_means.sql). -#}
{%- set quantities = ['map_correlation', 'overlap_60', 'overlap_180'] -%}
{%- set keys = ['reader', 'subject', 'model_id', 'inference_path', 'finding'] -%}
{%- set key = keys | join(', ') -%}
with readings as (

    select * from {{ ref('fct_readings') }}
    where is_current and reference_score is not null

),

maps as (

    select * from {{ ref('stg_raw__reading_maps') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

agreed as (

    {%- for quantity in quantities %}
    select
        readings.{{ reading_keys() | join(',\n        readings.') }},
        '{{ quantity }}' as quantity,
        readings.cluster_id,
        readings.cluster_unit,
        maps.{{ quantity }} as value
    from readings
    inner join maps
        {%- for column in reading_keys() %}
        {{ 'on' if loop.first else 'and' }} readings.{{ column }}
            is not distinct from maps.{{ column }}
        {%- endfor %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

clustered as (

    select
        {{ key }},
        quantity,
        cluster_id,
        cluster_unit,
        count(*) as map_count,
        count(value) as image_count,
        {{ ordered_mean('value', 'image_id') }} as value
    from agreed
    group by {{ key }}, quantity, cluster_id, cluster_unit

),

listed as (

    select
        {{ key }},
        quantity,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(value) as cluster_count,
        cast(sum(map_count) as bigint) as map_count,
        cast(sum(image_count) as bigint) as image_count,
        {{ ordered_mean('value', 'cluster_id') }} as mean,
        list(value order by cluster_id) filter (where value is not null) as agreements
    from clustered
    group by {{ key }}, quantity

),

estimated as (

    select
        *,
        case
            when cluster_count >= {{ var('min_clusters') }}
                then nullif({{ standard_error('agreements', 'mean') }}, 0)
        end as standard_error
    from listed

),

skewed as (

    select
        *,
        {{ skew_of_mean('agreements', 'mean', 'standard_error') }} as skew
    from estimated

),

final as (

    select
        {% for column in keys + ['quantity', 'cluster_unit', 'cluster_count'] -%}
        skewed.{{ column }},
        {% endfor -%}
        skewed.map_count,
        skewed.image_count,
        round(skewed.mean, 9) as mean,
        {%- for end in interval_ends() %}
        round(
            {{ skewed_end(
                'skewed.mean', 'skewed.standard_error', 'limits.t_limit', 'skewed.skew', end
            ) }},
            9
        ) as mean_{{ end }}{{ ',' if not loop.last }}
        {%- endfor %}
    from skewed
    left join limits on skewed.cluster_count - 1 = limits.df

)

select * from final
