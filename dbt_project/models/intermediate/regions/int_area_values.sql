{#- An image's mean of each quantity over its blocks in an area, twelve decimals, so that sums over
    images are exact; NULL where no block of it has one. -#}
{%- set quantities = area_quantities() -%}
{%- set summed = [] -%}
{%- for unit, lowest, highest, part, whole in quantities.values() -%}
{%- for name in [part, whole] if name not in summed -%}
{%- do summed.append(name) -%}
{%- endfor -%}
{%- endfor -%}
with sums as (

    select * from {{ ref('int_image_areas') }}

),

extremes as (

    select * from {{ ref('int_image_area_extremes') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

joined as (

    select
        sums.*
        {%- for path in inference_paths() %},
        extremes.scored_{{ path }},
        extremes.extreme_{{ path }}
        {%- endfor %}
    from sums
    left join extremes
        on sums.model_id = extremes.model_id
        and sums.image_id = extremes.image_id
        and sums.region_code is not distinct from extremes.region_code
        and sums.decile = extremes.decile

),

areas as (

    {%- for kind, code in area_kinds().items() %}
    {%- for path in inference_paths() %}
    select
        '{{ kind }}' as area_kind,
        cast({{ code }} as smallint) as area_code,
        model_id,
        '{{ path }}' as inference_path,
        image_id
        {%- for name in summed %},
        sum({{ name }}_{{ path }}) as {{ name }}
        {%- endfor %}
    from joined
    where {{ code }} is not null
    group by {{ code }}, model_id, image_id
    having sum(count_mse_dn2_{{ path }}) > 0
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

final as (

    select
        areas.area_kind,
        areas.area_code,
        areas.model_id,
        areas.inference_path,
        areas.image_id,
        clusters.cluster_id,
        clusters.cluster_unit,
        cast(areas.count_mse_dn2 as bigint) as block_count
        {%- for name, (unit, lowest, highest, part, whole) in quantities.items() %},
        {{ image_value(
            'cast(areas.' ~ part ~ ' as double) / nullif(areas.' ~ whole ~ ', 0)'
        ) }} as {{ name }}
        {%- endfor %}
    from areas
    inner join clusters on areas.image_id = clusters.image_id

)

select * from final
