{%- set names = tta_quantities('notta').keys() | list -%}
{%- set ratios = {} -%}
{%- for name in names -%}
{%- do ratios.update({'change_' ~ name: ['change_' ~ name, 'count_' ~ name]}) -%}
{%- endfor -%}
with images as (

    select * from {{ ref('int_image_tta_changes') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

draws as (

    select * from {{ ref('int_cluster_draws') }}

),

clustered as (

    select
        images.model_id,
        clusters.cluster_id,
        clusters.cluster_unit
        {%- for name in names %},
        sum(images.count_{{ name }}) as count_{{ name }},
        sum(images.notta_{{ name }}) as notta_{{ name }},
        sum(images.tta_{{ name }}) as tta_{{ name }},
        sum(images.tta_{{ name }}) - sum(images.notta_{{ name }}) as change_{{ name }},
        sum(images.raised_{{ name }}) as raised_{{ name }},
        sum(images.lowered_{{ name }}) as lowered_{{ name }}
        {%- endfor %}
    from images
    inner join clusters on images.image_id = clusters.image_id
    group by images.model_id, clusters.cluster_id, clusters.cluster_unit

),

measured as (

    {%- for name in names %}
    select
        model_id,
        '{{ name }}' as quantity,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        cast(sum(count_{{ name }}) as bigint) as pair_count,
        count(*) filter (where count_{{ name }} > 0) as cluster_count,
        cast(sum(notta_{{ name }}) as double) / nullif(sum(count_{{ name }}), 0) as mean_notta,
        cast(sum(tta_{{ name }}) as double) / nullif(sum(count_{{ name }}), 0) as mean_tta,
        cast(sum(tta_{{ name }}) - sum(notta_{{ name }}) as double)
        / nullif(sum(count_{{ name }}), 0) as mean_change,
        cast(sum(raised_{{ name }}) as double) / nullif(sum(count_{{ name }}), 0) as raised_ratio,
        cast(sum(lowered_{{ name }}) as double) / nullif(sum(count_{{ name }}), 0) as lowered_ratio
    from clustered
    group by model_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

replicates as (

    {{ resampled(['model_id'], ratios) }}

),

intervals as (

    {%- for name in names %}
    select
        model_id,
        '{{ name }}' as quantity,
        {{ percentile_ends('change_' ~ name, 'change') }}
    from replicates
    group by model_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        measured.model_id,
        measured.quantity,
        measured.cluster_unit,
        measured.cluster_count,
        measured.pair_count,
        measured.mean_notta,
        measured.mean_tta,
        measured.mean_change,
        {{ interval_end(
            'measured.mean_change',
            'intervals.change_low', 'measured.cluster_count', 'limits'
        ) }} as change_low,
        {{ interval_end(
            'measured.mean_change',
            'intervals.change_high', 'measured.cluster_count', 'limits'
        ) }} as change_high,
        measured.raised_ratio,
        measured.lowered_ratio
    from measured
    left join intervals
        on measured.model_id = intervals.model_id
        and measured.quantity = intervals.quantity
    left join limits on measured.cluster_count - 1 = limits.df

)

select * from final
