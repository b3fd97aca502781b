with images as (

    select * from {{ ref('int_image_directions') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

replicates as (

    select * from {{ ref('int_direction_replicates') }}

),

scales as (

    select * from {{ ref('int_direction_scales') }}

),

measured as (

    {%- for component in components() %}
    select
        images.model_id,
        images.polarity,
        '{{ component }}' as component,
        sum(images.block_count) as block_count,
        sum(images.count_{{ component }}) as measured_count,
        sum(images.sum_{{ component }}) as total,
        sum(images.sum_sq_{{ component }}) as total_sq,
        count(distinct clusters.cluster_id) filter (where images.count_{{ component }} > 0)
            as cluster_count,
        {{ cluster_unit('clusters.cluster_unit') }} as cluster_unit
    from images
    inner join clusters on images.image_id = clusters.image_id
    group by images.model_id, images.polarity
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

intervals as (

    {%- for component in components() %}
    select
        model_id,
        polarity,
        '{{ component }}' as component,
        {{ percentile_ends('mean_' ~ component, 'mean') }}
    from replicates
    group by model_id, polarity
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        measured.model_id,
        measured.polarity,
        measured.component,
        measured.cluster_unit,
        cast(measured.block_count as bigint) as block_count,
        cast(measured.measured_count as bigint) as measured_count,
        measured.cluster_count,
        cast(measured.total as double) / nullif(measured.measured_count, 0) as mean,
        sqrt(greatest(
            0,
            cast(measured.total_sq as double) / nullif(measured.measured_count, 0)
            - pow(cast(measured.total as double) / nullif(measured.measured_count, 0), 2)
        )) as sd,
        {{ interval_end(
            '(cast(measured.total as double) / nullif(measured.measured_count, 0))',
            'intervals.mean_low', 'measured.cluster_count', 'limits'
        ) }} as mean_low,
        {{ interval_end(
            '(cast(measured.total as double) / nullif(measured.measured_count, 0))',
            'intervals.mean_high', 'measured.cluster_count', 'limits'
        ) }} as mean_high,
        scales.robust_sd,
        cast(measured.total as double) / nullif(measured.measured_count, 0) / scales.robust_sd
            as standardised_mean
    from measured
    left join intervals
        on measured.model_id = intervals.model_id
        and measured.polarity = intervals.polarity
        and measured.component = intervals.component
    left join scales on measured.component = scales.component
    left join limits on measured.cluster_count - 1 = limits.df

)

select * from final
