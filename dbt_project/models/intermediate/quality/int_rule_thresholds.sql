{#- Quantiles of three populations. `pooled`: all models of a source and inference path together, as
    published. `per_model`: one model alone. `frozen`: the baseline's notta images, so that a
    threshold does not move with the models under test; without the baseline there is none. The
    level of a quantile must be a constant, so all are read at once. -#}
{%- set levels = [0.1, 0.25, 0.75, 0.9] -%}
with metric_values as (

    select * from {{ ref('int_metric_values') }}

),

configurations as (

    select
        source_id,
        model_id,
        inference_path
    from metric_values
    group by source_id, model_id, inference_path

),

pooled as (

    select
        source_id,
        inference_path,
        metric,
        quantile_cont(value, {{ levels }}) as thresholds
    from metric_values
    group by source_id, inference_path, metric

),

per_model as (

    select
        source_id,
        model_id,
        inference_path,
        metric,
        quantile_cont(value, {{ levels }}) as thresholds
    from metric_values
    group by source_id, model_id, inference_path, metric

),

frozen as (

    select
        source_id,
        metric,
        quantile_cont(value, {{ levels }}) as thresholds
    from metric_values
    where model_id = {{ dbt.string_literal(var('baseline_model')) }}
        and inference_path in ('notta', 'unstated')
    group by source_id, metric

),

populations as (

    select
        'pooled' as population,
        configurations.source_id,
        configurations.model_id,
        configurations.inference_path,
        pooled.metric,
        pooled.thresholds
    from configurations
    inner join pooled
        on configurations.source_id = pooled.source_id
        and configurations.inference_path = pooled.inference_path
    union all
    select
        'per_model' as population,
        source_id,
        model_id,
        inference_path,
        metric,
        thresholds
    from per_model
    union all
    select
        'frozen' as population,
        configurations.source_id,
        configurations.model_id,
        configurations.inference_path,
        frozen.metric,
        frozen.thresholds
    from configurations
    inner join frozen on configurations.source_id = frozen.source_id

),

final as (

    select
        population,
        source_id,
        model_id,
        inference_path,
        metric,
        unnest(cast({{ levels }} as double[])) as quantile_level,
        unnest(thresholds) as threshold
    from populations

)

select * from final
