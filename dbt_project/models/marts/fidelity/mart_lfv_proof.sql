{#- The published statistics (definitions D.1) first, then what mends them (D.2, D.3). Sums run in
    the order of model and image, so no digit depends on threads. -#}
{%- set keys = ['population', 'source_id', 'group_id', 'inference_path'] -%}
{%- set key = keys | join(', ') -%}
{%- set order = 'model_id, image_id' -%}
{%- set pairs = {
    'min': ['texture_complexity', 'local_ssim_min'],
    'mean': ['texture', 'local_ssim_mean'],
    'excess': ['texture', 'excess_mean'],
} -%}
{%- set ranked = ['min', 'mean'] -%}
{#- Statistics whose clusters are fewer than the group's, each counted for its own interval. -#}
{%- set counted_apart = [
    'mean', 'lfv', 'excess_min', 'excess_mean', 'slope_excess', 'excess_frame',
] -%}
with samples as (

    select * from {{ ref('int_lfv_samples') }}

),

intervals as (

    select * from {{ ref('int_lfv_intervals') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

{% for name, (x, y) in pairs.items() %}
{{ name }}_pairs as (

    select
        {{ key }},
        model_id,
        image_id,
        cast({{ x }} as double) as x,
        cast({{ y }} as double) as y
        {%- if name in ranked %},
        rank() over (partition by {{ key }} order by {{ x }})
        + (count(*) over (partition by {{ key }}, {{ x }}) - 1) / 2 as rank_x,
        rank() over (partition by {{ key }} order by {{ y }})
        + (count(*) over (partition by {{ key }}, {{ y }}) - 1) / 2 as rank_y
        {%- endif %}
    from samples
    where {{ x }} is not null and {{ y }} is not null

),

{{ name }}_lists as (

    select
        {{ key }},
        count(*) as n
        {%- for value in ['x', 'y'] + (['rank_x', 'rank_y'] if name in ranked else []) %},
        list({{ value }} order by {{ order }}) as {{ value }},
        list_sum(list({{ value }} order by {{ order }})) / count(*) as mean_{{ value }}
        {%- endfor %}
    from {{ name }}_pairs
    group by {{ key }}

),

{{ name }}_centred as (

    select
        {{ key }},
        n
        {%- for value in ['x', 'y'] + (['rank_x', 'rank_y'] if name in ranked else []) %},
        list_transform({{ value }}, lambda item: item - mean_{{ value }}) as {{ value }}
        {%- endfor %}
    from {{ name }}_lists

),

{{ name }}_fits as (

    select
        {{ key }},
        n,
        {{ r_of_lists('x', 'y') }} as r,
        {{ slope_of_lists('x', 'y') }} as slope
        {%- if name in ranked %},
        {{ r_of_lists('rank_x', 'rank_y') }} as rank_r
        {%- endif %}
    from {{ name }}_centred

),

{% endfor -%}
cases as (

    select
        {{ key }},
        any_value(texture_measure) as texture_measure,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(distinct cluster_id) as cluster_count,
        count(distinct cluster_id) filter (where texture_complexity + local_ssim_min is not null)
            as pair_cluster_count,
        count(distinct cluster_id) filter (where texture + local_ssim_mean is not null)
            as mean_cluster_count,
        count(distinct cluster_id) filter (where is_lfv and min_row is not null)
            as lfv_cluster_count,
        {%- for name in ['excess_min', 'excess_mean', 'excess_frame'] %}
        count(distinct cluster_id) filter (where {{ name }} is not null)
            as {{ name }}_cluster_count,
        {%- endfor %}
        count(distinct cluster_id) filter (where texture + excess_mean is not null)
            as slope_excess_cluster_count,
        count(local_ssim_min) as image_count,
        case
            when not bool_and(is_lfv)
                then quantile_cont(local_ssim_min, {{ constant('lfv_pct') / 100 }})
        end as lfv_threshold,
        count(*) filter (where is_lfv) as lfv_count,
        count(*) filter (where is_lfv and min_row is not null) as lfv_located_count,
        count(*) filter (where is_lfv and is_boundary) as boundary_count,
        count(*) filter (where is_lfv and is_boundary_mended) as boundary_mended_count,
        {{ ordered_mean('case when is_lfv then normalized_distance end', order) }}
            as mean_distance,
        {{ ordered_mean(
            'case when is_lfv and min_row is not null then null_normalized_distance end', order
        ) }} as null_mean_distance,
        {{ ordered_mean(
            'case when is_lfv and min_row is not null then null_boundary_ratio end', order
        ) }} as null_boundary_ratio,
        {{ ordered_mean(
            'case when is_lfv and min_row is not null then null_boundary_mended_ratio end', order
        ) }} as null_boundary_mended_ratio,
        count(location_percentile) as located_count,
        count(*) filter (where is_frame) as frame_count,
        case
            when count(distinct null_frame_ratio) filter (where location_percentile is not null) = 1
                then min(null_frame_ratio) filter (where location_percentile is not null)
        end as null_frame_ratio,
        count(excess_mean) as baseline_image_count,
        {{ ordered_mean('excess_min', order) }} as excess_min,
        {{ ordered_mean('excess_mean', order) }} as excess_mean,
        cast(sum(excess_frame) as double) / nullif(count(excess_frame), 0) as excess_frame
    from samples
    group by {{ key }}

),

located_clusters as (

    select
        {{ key }},
        cluster_id,
        {{ ordered_mean('location_percentile', order) }} as percentile
    from samples
    where location_percentile is not null
    group by {{ key }}, cluster_id

),

locations as (

    select
        {{ key }},
        count(*) as located_cluster_count,
        list(percentile order by cluster_id) as percentiles,
        {{ ordered_mean('percentile', 'cluster_id') }} as location_percentile
    from located_clusters
    group by {{ key }}

),

tested as (

    select
        *,
        case
            when located_cluster_count >= {{ var('min_clusters') }}
                then (location_percentile - 0.5)
                    / nullif({{ standard_error('percentiles', 'location_percentile') }}, 0)
        end as location_t
    from locations

),

scored as (

    select
        cases.*,
        1 - cases.mean_distance as bias_index,
        {%- for name, expected in {
            'published': constant('boundary_published'),
            'exact': 'cases.null_boundary_ratio',
        }.items() %}
        pow(cases.boundary_count - {{ expected }} * cases.lfv_located_count, 2)
        / nullif(
            {{ expected }} * (1 - {{ expected }}) * cases.lfv_located_count, 0
        ) as chi_square_{{ name }},
        {%- endfor %}
        pow(
            cases.boundary_mended_count
            - cases.null_boundary_mended_ratio * cases.lfv_located_count,
            2
        ) / nullif(
            cases.null_boundary_mended_ratio * (1 - cases.null_boundary_mended_ratio)
            * cases.lfv_located_count,
            0
        ) as chi_square_mended
    from cases

),

joined as (

    select
        scored.*,
        min_fits.n as pair_count,
        min_fits.r as r_min,
        min_fits.rank_r as rank_r_min,
        min_fits.r * sqrt((min_fits.n - 2) / nullif(1 - min_fits.r * min_fits.r, 0)) as t_min,
        mean_fits.n as mean_pair_count,
        mean_fits.r as r_mean,
        mean_fits.rank_r as rank_r_mean,
        mean_fits.slope as slope_mean,
        excess_fits.slope as slope_excess,
        tested.located_cluster_count,
        tested.location_percentile,
        tested.location_t,
        {{ interval_end(
            'min_fits.r', 'intervals.r_min_low', 'scored.pair_cluster_count', 'limits', -1, 1
        ) }} as r_min_low,
        {{ interval_end(
            'min_fits.r', 'intervals.r_min_high', 'scored.pair_cluster_count', 'limits', -1, 1
        ) }} as r_min_high
    from scored
    {%- for name in pairs %}
    left join {{ name }}_fits
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} scored.{{ column }} = {{ name }}_fits.{{ column }}
        {%- endfor %}
    {%- endfor %}
    left join tested
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} scored.{{ column }} = tested.{{ column }}
        {%- endfor %}
    left join intervals
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} scored.{{ column }} = intervals.{{ column }}
        {%- endfor %}
    left join limits on scored.pair_cluster_count - 1 = limits.df

),

proved as (

    select
        *,
        case
            when pair_count > 2 and r_min is not null
                then {{ student_p('t_min', '(pair_count - 2)') }}
        end as r_min_p,
        {{ chi_square_p('chi_square_published') }} as boundary_p,
        {{ chi_square_p('chi_square_exact') }} as boundary_exact_p,
        {{ chi_square_p('chi_square_mended') }} as boundary_mended_p,
        {{ student_p('location_t', '(located_cluster_count - 1)') }} as location_p,
        -- The pool holds an image once for each model: no sample of independent places.
        case
            when population != 'pooled'
                then {{ ln_binomial_tail('frame_count', 'located_count', 'null_frame_ratio') }}
        end as frame_ln_p
    from joined

),

final as (

    select
        proved.population,
        proved.source_id,
        proved.group_id as model_id,
        proved.inference_path,
        proved.cluster_unit,
        proved.cluster_count,
        proved.image_count,
        coalesce(proved.pair_count, 0) as pair_count,
        proved.r_min as correlation_texture_localmin,
        proved.r_min_p as correlation_p_value,
        case
            when proved.r_min < {{ constant('texture_strong') }} then 'Strong'
            when proved.r_min < {{ constant('texture_moderate') }} then 'Moderate'
            when proved.r_min is not null then 'Weak'
        end as texture_dependency_strength,
        proved.lfv_threshold as lfv_threshold_25th,
        proved.lfv_count as lfv_cases_count,
        case
            when proved.lfv_threshold is not null
                then 100 * cast(proved.lfv_count as double) / nullif(proved.image_count, 0)
        end as lfv_cases_pct,
        proved.lfv_located_count,
        proved.boundary_count,
        proved.bias_index as boundary_bias_index,
        proved.chi_square_published as boundary_chi_square,
        proved.boundary_p as boundary_p_value,
        case
            when proved.bias_index > {{ constant('bias_strong') }}
                and proved.boundary_p < {{ constant('bias_strong_p') }} then 'Strong'
            when proved.bias_index > {{ constant('bias_moderate') }}
                and proved.boundary_p < {{ constant('bias_moderate_p') }} then 'Moderate'
            when proved.bias_index is not null then 'Weak'
            else 'N/A'
        end as spatial_dependency_strength,
        proved.r_min_low as correlation_low,
        proved.r_min_high as correlation_high,
        case
            when proved.r_min_high < {{ constant('texture_strong') }} then 'Strong'
            when proved.r_min_high < {{ constant('texture_moderate') }} then 'Moderate'
            when proved.r_min_high < 0 then 'Weak'
            when proved.r_min_high is not null then 'None'
        end as texture_strength_shown,
        proved.rank_r_min as rank_correlation_texture_localmin,
        proved.texture_measure,
        proved.r_mean as correlation_texture_mean,
        proved.rank_r_mean as rank_correlation_texture_mean,
        proved.slope_mean as slope_texture_mean,
        {{ with_interval(
            'slope_mean', 'slope_texture_mean', 'proved.slope_mean', 'mean'
        ) }},
        1 - proved.null_mean_distance as null_boundary_bias_index,
        -- (index - null) / (1 - null): 0 is chance, 1 is all on the frame.
        (proved.null_mean_distance - proved.mean_distance) / nullif(proved.null_mean_distance, 0)
            as centred_boundary_bias_index,
        {{ with_interval(
            'centred_bias', 'centred_boundary_bias_index',
            '((proved.null_mean_distance - proved.mean_distance)'
            ~ ' / nullif(proved.null_mean_distance, 0))',
            'lfv', none, 1
        ) }},
        proved.null_boundary_ratio,
        proved.chi_square_exact as boundary_exact_chi_square,
        proved.boundary_exact_p as boundary_exact_p_value,
        proved.boundary_mended_count,
        proved.null_boundary_mended_ratio,
        proved.chi_square_mended as boundary_mended_chi_square,
        proved.boundary_mended_p as boundary_mended_p_value,
        proved.located_count,
        coalesce(proved.located_cluster_count, 0) as located_cluster_count,
        proved.location_percentile,
        proved.location_t,
        proved.location_p as location_p_value,
        case when proved.located_count > 0 then proved.frame_count end as frame_count,
        cast(proved.frame_count as double) / nullif(proved.located_count, 0) as frame_ratio,
        proved.null_frame_ratio,
        exp(proved.frame_ln_p) as frame_p_value,
        proved.frame_ln_p / ln(10) as frame_log10_p,
        proved.baseline_image_count,
        proved.excess_min as excess_min_ssim,
        {{ with_interval(
            'excess_min', 'excess_min_ssim', 'proved.excess_min', 'excess_min', -2, 2
        ) }},
        proved.excess_mean as excess_mean_ssim,
        {{ with_interval(
            'excess_mean', 'excess_mean_ssim', 'proved.excess_mean', 'excess_mean', -2, 2
        ) }},
        proved.slope_excess as slope_texture_excess,
        {{ with_interval(
            'slope_excess', 'slope_texture_excess', 'proved.slope_excess', 'slope_excess'
        ) }},
        proved.excess_frame as excess_frame_ratio,
        {{ with_interval(
            'excess_frame', 'excess_frame_ratio', 'proved.excess_frame', 'excess_frame', -1, 1
        ) }}
    from proved
    left join intervals
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} proved.{{ column }} = intervals.{{ column }}
        {%- endfor %}
    {%- for counted in counted_apart %}
    left join limits as {{ counted }}_limits
        on proved.{{ counted }}_cluster_count - 1 = {{ counted }}_limits.df
    {%- endfor %}

)

select * from final
