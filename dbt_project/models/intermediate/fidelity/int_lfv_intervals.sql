{#- 95 % cluster bootstrap intervals of the LFV statistics. A regression's sums are exact
    decimals; only the last step of a replicate is in floating point. -#}
{%- set pairs = {
    'complexity_min': ['fixed_complexity', 'fixed_min'],
    'texture_mean': ['fixed_texture', 'fixed_mean'],
    'texture_excess': ['fixed_texture', 'fixed_excess_mean'],
} -%}
{%- set means = {
    'excess_min': 'fixed_excess_min',
    'excess_mean': 'fixed_excess_mean',
    'excess_frame': 'excess_frame',
    'distance': 'case when is_lfv then fixed_distance end',
    'null_distance': 'case when is_lfv then cast(null_normalized_distance as ' ~ fixed() ~ ') end',
} -%}
{%- set keys = ['population', 'source_id', 'group_id', 'inference_path'] -%}
with samples as (

    select * from {{ ref('int_lfv_samples') }}

),

draws as (

    select * from {{ ref('int_cluster_draws') }}

),

clustered as (

    select
        {{ keys | join(', ') }},
        cluster_id
        {%- for name, (x, y) in pairs.items() %},
        count({{ x }} + {{ y }}) as n_{{ name }},
        sum(case when {{ y }} is not null then {{ x }} end) as x_{{ name }},
        sum(case when {{ x }} is not null then {{ y }} end) as y_{{ name }},
        sum(case when {{ y }} is not null then {{ x }} * {{ x }} end) as xx_{{ name }},
        sum({{ x }} * {{ y }}) as xy_{{ name }},
        sum(case when {{ x }} is not null then {{ y }} * {{ y }} end) as yy_{{ name }}
        {%- endfor %}
        {%- for name, value in means.items() %},
        count({{ value }}) as n_{{ name }},
        sum({{ value }}) as s_{{ name }}
        {%- endfor %}
    from samples
    group by {{ keys | join(', ') }}, cluster_id

),

weighted as (

    select
        {%- for key in keys %}
        clustered.{{ key }},
        {%- endfor %}
        draws.replicate
        {%- for name in pairs %}
        {%- for term in ['n', 'x', 'y', 'xx', 'xy', 'yy'] %},
        cast(sum(draws.weight * clustered.{{ term }}_{{ name }}) as double) as {{ term }}_{{ name }}
        {%- endfor %}
        {%- endfor %}
        {%- for name in means %},
        cast(sum(draws.weight * clustered.s_{{ name }}) as double)
        / nullif(sum(draws.weight * clustered.n_{{ name }}), 0) as mean_{{ name }}
        {%- endfor %}
    from clustered
    inner join draws on clustered.cluster_id = draws.cluster_id
    group by
        {%- for key in keys %}
        clustered.{{ key }},
        {%- endfor %}
        draws.replicate

),

-- Squared deviations; NULL where a replicate drew images too alike to tell, which doubles would
-- turn into noise.
spread as (

    select
        *
        {%- for name in pairs %},
        n_{{ name }} * xy_{{ name }} - x_{{ name }} * y_{{ name }} as joint_{{ name }}
        {%- for axis in ['x', 'y'] %},
        case
            when n_{{ name }} * {{ axis * 2 }}_{{ name }} - pow({{ axis }}_{{ name }}, 2)
                > 1e-10 * n_{{ name }} * {{ axis * 2 }}_{{ name }}
                then n_{{ name }} * {{ axis * 2 }}_{{ name }} - pow({{ axis }}_{{ name }}, 2)
        end as spread_{{ axis }}_{{ name }}
        {%- endfor %}
        {%- endfor %}
    from weighted

),

replicates as (

    select
        {{ keys | join(', ') }}
        {%- for name in means %},
        mean_{{ name }}
        {%- endfor %}
        {%- for name in pairs %},
        joint_{{ name }} / spread_x_{{ name }} as slope_{{ name }},
        joint_{{ name }} / (sqrt(spread_x_{{ name }}) * sqrt(spread_y_{{ name }})) as r_{{ name }}
        {%- endfor %}
    from spread

),

final as (

    select
        {{ keys | join(', ') }}
        {%- for name in ['excess_min', 'excess_mean', 'excess_frame'] %},
        {{ percentile_ends('mean_' ~ name, name) }}
        {%- endfor %},
        {{ percentile_ends(
            '(mean_null_distance - mean_distance) / nullif(mean_null_distance, 0)', 'centred_bias'
        ) }},
        {{ percentile_ends('r_complexity_min', 'r_min') }},
        {{ percentile_ends('slope_texture_mean', 'slope_mean') }},
        {{ percentile_ends('slope_texture_excess', 'slope_excess') }}
    from replicates
    group by {{ keys | join(', ') }}

)

select * from final
