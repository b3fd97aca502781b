{#- How many of the findings' boxes a reader's maps find, and how many independent boxes would say
    as much (macros/shares.sql). -#}
{%- set keys = localisation_groups() + ['side'] -%}
with images as (

    select * from {{ ref('int_readings_localised') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clustered as (

    {%- for side in ['reference', 'restored'] %}
    select
        {{ localisation_groups() | join(',\n        ') }},
        '{{ side }}' as side,
        cluster_id,
        cluster_unit,
        cast(sum(box_count) as bigint) as box_count,
        cast(sum({{ side }}_found_count) as bigint) as found_count
    from images
    group by {{ localisation_groups() | join(', ') }}, cluster_id, cluster_unit
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

summed as (

    select
        {{ keys | join(',\n        ') }},
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        {{ share_sums('box_count', 'found_count') }}
    from clustered
    group by {{ keys | join(', ') }}

),

{{ sized_shares() }}

select * from final
