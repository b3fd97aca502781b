{#- Mean and covariance of features, per model and pooled with equal weight over the models that the
    study's own axis is fitted on (`[study] axis_models`). Sums over blocks are exact; doubles appear
    only where counts divide them, and the few models are added in the order of their names.
    Arguments: name of a CTE of images' exact sums (block_count, sum_a, sum_a_b); the features.
    Result: CTEs, the last `covariances`: basis_id ('pooled', 'model:' and its name), block_count,
    mean_a, cov_a_b. -#}
{% macro basis_covariances(moments, names) -%}
{%- set ordered = 'order by model_id' -%}
models as (

    select
        model_id,
        sum(block_count) as block_count
        {%- for name in names %},
        cast(sum(sum_{{ name }}) as double) / sum(block_count) as mean_{{ name }}
        {%- endfor %}
        {%- for first in names %}
        {%- for second in names[loop.index0:] %},
        cast(sum(sum_{{ first }}_{{ second }}) as double) / sum(block_count)
        - (cast(sum(sum_{{ first }}) as double) / sum(block_count))
        * (cast(sum(sum_{{ second }}) as double) / sum(block_count))
            as cov_{{ first }}_{{ second }}
        {%- endfor %}
        {%- endfor %}
    from {{ moments }}
    group by model_id

),

-- In a study without blocks of any of them there is no pooled basis.
fitted as (

    select *
    from models
    where {{ is_axis_model('model_id') }}

),

pooled_means as (

    select
        count(*) as model_count,
        sum(block_count) as block_count
        {%- for name in names %},
        list_sum(list(mean_{{ name }} {{ ordered }})) / count(*) as mean_{{ name }}
        {%- endfor %}
    from fitted

),

-- Within-model covariance plus the covariance of the models' means.
pooled as (

    select
        any_value(pooled_means.block_count) as block_count
        {%- for name in names %},
        any_value(pooled_means.mean_{{ name }}) as mean_{{ name }}
        {%- endfor %}
        {%- for first in names %}
        {%- for second in names[loop.index0:] %},
        list_sum(list(
            fitted.cov_{{ first }}_{{ second }}
            + (fitted.mean_{{ first }} - pooled_means.mean_{{ first }})
            * (fitted.mean_{{ second }} - pooled_means.mean_{{ second }})
            {{ ordered }}
        )) / any_value(pooled_means.model_count) as cov_{{ first }}_{{ second }}
        {%- endfor %}
        {%- endfor %}
    from fitted
    cross join pooled_means
    having count(*) > 0

),

covariances as (

    select 'pooled' as basis_id, * from pooled
    union all
    select 'model:' || model_id as basis_id, * exclude (model_id) from models

)
{%- endmacro %}
