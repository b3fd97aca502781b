{#- Side by side what a reader's maps find in the references and in what models made of them. A
    share has Clopper and Pearson's interval on the effective number of boxes; false positives an
    image, and both differences, are ratios of sums over patients, with Student's t on as many
    degrees of freedom as patients less one. That of false positives, which lean to one side, is
    corrected for skewness (macros/skewed_means.sql). -#}
{%- set keys = localisation_groups() -%}
{%- set key = keys | join(', ') -%}
{%- set ratios = {
    'accuracy_difference': ['restored_found_count - reference_found_count', 'box_count'],
    'reference_false': ['reference_false_count', 'image_count'],
    'restored_false': ['restored_false_count', 'image_count'],
    'false_difference': ['restored_false_count - reference_false_count', 'image_count'],
} -%}
{%- set counted = ['reference_false', 'restored_false'] -%}
{%- set cubes = {'ppp': 3, 'ppw': 2, 'pww': 1, 'www': 0} -%}
with images as (

    select * from {{ ref('int_readings_localised') }}

),

shares as (

    select * from {{ ref('int_localisation_shares') }}

),

points as (

    select * from {{ ref('int_beta_points') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clustered as (

    select
        {{ key }},
        cluster_id,
        cast(count(*) as hugeint) as image_count,
        cast(sum(box_count) as hugeint) as box_count
        {%- for side in ['reference', 'restored'] %}
        {%- for name in ['found', 'predicted', 'false'] %},
        cast(sum({{ side }}_{{ name }}_count) as hugeint) as {{ side }}_{{ name }}_count
        {%- endfor %}
        {%- endfor %}
    from images
    group by {{ key }}, cluster_id

),

summed as (

    select
        {{ key }},
        count(*) as cluster_count,
        sum(image_count) as image_count,
        sum(box_count) as box_count
        {%- for side in ['reference', 'restored'] %}
        {%- for name in ['found', 'predicted', 'false'] %},
        sum({{ side }}_{{ name }}_count) as {{ side }}_{{ name }}_count
        {%- endfor %}
        {%- endfor %}
        {%- for name, (part, whole) in ratios.items() %},
        sum({{ part }}) as {{ name }}_part,
        sum({{ whole }}) as {{ name }}_whole,
        sum(({{ part }}) * ({{ part }})) as {{ name }}_parts,
        sum(({{ part }}) * {{ whole }}) as {{ name }}_products,
        sum({{ whole }} * {{ whole }}) as {{ name }}_wholes
        {%- if name in counted %}
        {%- for cube, parts in cubes.items() %},
        sum({{ ([part] * parts + [whole] * (3 - parts)) | join(' * ') }}) as {{ name }}_{{ cube }}
        {%- endfor %}
        {%- endif %}
        {%- endfor %}
    from clustered
    group by {{ key }}

),

spread as (

    select
        *
        {%- for name in ratios %}
        {%- set columns = [] %}
        {%- for column in ['part', 'whole', 'parts', 'products', 'wholes'] %}
        {%- do columns.append(name ~ '_' ~ column) %}
        {%- endfor %},
        cast({{ name }}_part as double) / {{ name }}_whole as {{ name }},
        -- Where no patient differs from the others nothing is known of how far they might.
        case
            when cluster_count >= {{ var('min_clusters') }}
                then sqrt(nullif({{ ratio_variance(*columns, clusters='cluster_count') }}, 0))
        end as {{ name }}_error
        {%- endfor %}
    from summed

),

skewed as (

    select
        *
        {%- for name in counted %}
        {%- set columns = [] %}
        {%- for column in ['part', 'whole'] + cubes | list + ['error'] %}
        {%- do columns.append(name ~ '_' ~ column) %}
        {%- endfor %},
        {{ ratio_skew(*columns, clusters='cluster_count') }} as {{ name }}_skew
        {%- endfor %}
    from spread

),

final as (

    select
        skewed.{{ keys[:6] | join(',\n        skewed.') }},
        cast(skewed.overlap_pct as double) / 100 as overlap_ratio,
        reference_share.cluster_unit,
        skewed.cluster_count,
        cast(skewed.image_count as bigint) as image_count,
        cast(skewed.box_count as bigint) as box_count
        {%- for side in ['reference', 'restored'] %}
        {%- set own = 'skewed.' ~ side ~ '_false' %}
        {%- set of_mean = [own, own ~ '_error', 'of_clusters.t_limit', own ~ '_skew'] %},
        cast(skewed.{{ side }}_predicted_count as bigint) as {{ side }}_predicted_count,
        cast(skewed.{{ side }}_found_count as bigint) as {{ side }}_found_count,
        cast(skewed.{{ side }}_found_count as double) / skewed.box_count
            as {{ side }}_accuracy_ratio,
        {{ share_end(side ~ '_share', side ~ '_lower', 'low') }} as {{ side }}_accuracy_low_ratio,
        {{ share_end(side ~ '_share', side ~ '_upper', 'high') }}
            as {{ side }}_accuracy_high_ratio,
        cast(skewed.{{ side }}_false_count as bigint) as {{ side }}_false_count,
        skewed.{{ side }}_false as {{ side }}_false_mean,
        -- greatest skips NULL.
        case
            when skewed.{{ side }}_false_error is not null
                then greatest(0, round({{ skewed_end(*of_mean, end='low') }}, 9))
        end as {{ side }}_false_mean_low,
        round({{ skewed_end(*of_mean, end='high') }}, 9) as {{ side }}_false_mean_high
        {%- endfor %}
        {%- for name in ['accuracy_difference', 'false_difference'] %},
        skewed.{{ name }},
        round(skewed.{{ name }} - of_clusters.t_limit * skewed.{{ name }}_error, 9)
            as {{ name }}_low,
        round(skewed.{{ name }} + of_clusters.t_limit * skewed.{{ name }}_error, 9)
            as {{ name }}_high
        {%- endfor %}
    from skewed
    left join limits as of_clusters on skewed.cluster_count - 1 = of_clusters.df
    {%- for side in ['reference', 'restored'] %}
    inner join shares as {{ side }}_share
        on {{ side }}_share.side = '{{ side }}'
        {%- for column in keys %}
        and skewed.{{ column }} = {{ side }}_share.{{ column }}
        {%- endfor %}
    {%- for end, name in {'low': 'lower', 'high': 'upper'}.items() %}
    left join points as {{ side }}_{{ name }}
        on {{ share_point(side ~ '_share', side ~ '_' ~ name, end) }}
    {%- endfor %}
    {%- endfor %}

)

select * from final
