{#- A ring is told apart by side only where it is the outermost: deeper down a side's clusters are
    those of its ring, and beyond the profiled rings those of all that lie deeper. -#}
with counts as (

    select * from {{ ref('int_frame_counts') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

rings as (

    select * from {{ ref('int_image_rings') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

intervals as (

    select * from {{ ref('int_ring_intervals') }}

),

sides as (

    select
        model_id,
        frame_side,
        frame_distance
        {%- for path in inference_paths() %},
        cast(sum(count_{{ path }}) as bigint) as count_{{ path }},
        sum(sum_{{ path }}) as sum_{{ path }}
        {%- endfor %}
    from counts
    group by model_id, frame_side, frame_distance

),

profiles as (

    {%- for path in inference_paths() %}
    select
        model_id,
        '{{ path }}' as inference_path,
        frame_side,
        frame_distance,
        count_{{ path }} as block_count,
        sum_{{ path }} as total
    from sides
    union all
    select
        model_id,
        '{{ path }}' as inference_path,
        'all' as frame_side,
        frame_distance,
        sum(count_{{ path }}) as block_count,
        sum(sum_{{ path }}) as total
    from sides
    group by model_id, frame_distance
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

measured as (

    {%- for path in inference_paths() %}
    select
        rings.model_id,
        '{{ path }}' as inference_path,
        'all' as frame_side,
        rings.ring,
        {{ cluster_unit('clusters.cluster_unit') }} as cluster_unit,
        count(distinct clusters.cluster_id) as cluster_count
    from rings
    inner join clusters on rings.image_id = clusters.image_id
    where rings.count_{{ path }} > 0
    group by rings.model_id, rings.ring
    union all
    select
        rings.model_id,
        '{{ path }}' as inference_path,
        rings.frame_side,
        rings.ring,
        {{ cluster_unit('clusters.cluster_unit') }} as cluster_unit,
        count(distinct clusters.cluster_id) as cluster_count
    from rings
    inner join clusters on rings.image_id = clusters.image_id
    where rings.count_{{ path }} > 0 and rings.ring = 0
    group by rings.model_id, rings.frame_side, rings.ring
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        profiles.model_id,
        profiles.inference_path,
        profiles.frame_side,
        cast(profiles.frame_distance as integer) as distance_blocks,
        measured.cluster_unit,
        coalesce(measured.cluster_count, 0) as cluster_count,
        cast(profiles.block_count as bigint) as block_count,
        cast(profiles.total as double) / nullif(profiles.block_count, 0) as mean_local_ssim,
        {{ interval_end(
            '(cast(profiles.total as double) / nullif(profiles.block_count, 0))',
            'intervals.mean_low', 'measured.cluster_count', 'limits', -1, 1
        ) }} as mean_low,
        {{ interval_end(
            '(cast(profiles.total as double) / nullif(profiles.block_count, 0))',
            'intervals.mean_high', 'measured.cluster_count', 'limits', -1, 1
        ) }} as mean_high
    from profiles
    left join measured
        on profiles.model_id = measured.model_id
        and profiles.inference_path = measured.inference_path
        and least(profiles.frame_distance, {{ constant('profiled_rings') }}) = measured.ring
        and case when profiles.frame_distance = 0 then profiles.frame_side else 'all' end
            = measured.frame_side
    left join intervals
        on profiles.model_id = intervals.model_id
        and profiles.inference_path = intervals.inference_path
        and profiles.frame_side = intervals.frame_side
        and profiles.frame_distance = intervals.distance_blocks
    left join limits on measured.cluster_count - 1 = limits.df

)

select * from final
