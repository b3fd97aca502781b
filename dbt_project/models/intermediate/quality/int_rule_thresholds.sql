{#- Quantiles of three populations. `pooled`: all models of a source and inference path together, as
    published. `per_model`: one model alone. `frozen`: the baseline's notta images, so that a
    threshold does not move with the models under test; without the baseline there is none. Copies
    into which known truth was drawn have no part in any: thresholds are those of the images.

    Interpolated as NumPy does, and pandas through it, digit for digit: between two equal values
    lies that value, which strict comparisons rely on. quantile_cont of DuckDB 1.5 misses it by a
    last digit. -#}
{%- set levels = [0.1, 0.25, 0.75, 0.9] -%}
with metric_values as (

    select * from {{ ref('int_metric_values') }}

),

injections as (

    select * from {{ ref('stg_raw__injections') }}

),

undrawn as (

    select * from metric_values
    where
        source_id != 'images'
        or image_id not in (select image_id from injections where arm != 'sham')

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

),

configurations as (

    select
        source_id,
        model_id,
        inference_path
    from metric_values
    group by source_id, model_id, inference_path

),

samples as (

    select
        'pooled' as population,
        source_id,
        null as model_id,
        inference_path,
        metric,
        list(value order by value) filter (where value is not null) as ordered
    from undrawn
    group by source_id, inference_path, metric
    union all
    select
        'per_model' as population,
        source_id,
        model_id,
        inference_path,
        metric,
        list(value order by value) filter (where value is not null) as ordered
    from undrawn
    group by source_id, model_id, inference_path, metric
    union all
    select
        'frozen' as population,
        source_id,
        null as model_id,
        null as inference_path,
        metric,
        list(value order by value) filter (where value is not null) as ordered
    from undrawn
    where model_id = (select baseline_model from parameters)
        and inference_path in ('notta', 'unstated')
    group by source_id, metric

),

placed as (

    select
        population,
        source_id,
        model_id,
        inference_path,
        metric,
        ordered
        {%- for level in levels %},
        (len(ordered) - 1) * cast({{ level }} as double) as position_{{ loop.index }}
        {%- endfor %}
    from samples

),

enclosed as (

    select
        population,
        source_id,
        model_id,
        inference_path,
        metric
        {%- for level in levels %}
        {%- set position = 'position_' ~ loop.index %},
        ordered[cast(floor({{ position }}) as bigint) + 1] as lower_{{ loop.index }},
        ordered[cast(ceil({{ position }}) as bigint) + 1] as upper_{{ loop.index }},
        {{ position }} - floor({{ position }}) as share_{{ loop.index }}
        {%- endfor %}
    from placed

),

interpolated as (

    select
        population,
        source_id,
        model_id,
        inference_path,
        metric,
        [
            {%- for level in levels %}
            {%- set lower, upper = 'lower_' ~ loop.index, 'upper_' ~ loop.index %}
            {%- set share = 'share_' ~ loop.index %}
            case
                when {{ share }} < 0.5 then {{ lower }} + ({{ upper }} - {{ lower }}) * {{ share }}
                else {{ upper }} - ({{ upper }} - {{ lower }}) * (1 - {{ share }})
            end{{ ',' if not loop.last }}
            {%- endfor %}
        ] as thresholds
    from enclosed

),

final as (

    select
        interpolated.population,
        configurations.source_id,
        configurations.model_id,
        configurations.inference_path,
        interpolated.metric,
        unnest(cast({{ levels }} as double[])) as quantile_level,
        unnest(interpolated.thresholds) as threshold
    from interpolated
    inner join configurations
        on interpolated.source_id = configurations.source_id
        and coalesce(interpolated.model_id, configurations.model_id) = configurations.model_id
        and coalesce(interpolated.inference_path, configurations.inference_path)
        = configurations.inference_path

)

select * from final
