{#- Where a reader's maps are high, against the boxes of the findings, as Wang et al. (2017,
    doi:10.1109/CVPR.2017.369) judge it: a true box is found where a box of the reader's overlaps it
    by more than a share, and each of the reader's boxes that overlaps no true box of the finding so
    is a false positive. Images with a box of the finding whose reference and restored image were
    both read. 0 stands for both levels of the map together. -#}
{%- set keys = ['reader', 'subject', 'model_id', 'inference_path', 'image_id', 'finding'] -%}
{%- set cell = keys + ['map_level', 'overlap', 'overlap_pct'] -%}
with readings as (

    select * from {{ ref('fct_readings') }}
    where is_current and subject != 'lr' and reference_score is not null

),

readers as (

    select * from {{ ref('dim_readers') }}
    where has_maps

),

reading_boxes as (

    select * from {{ ref('stg_raw__reading_boxes') }}

),

finding_boxes as (

    select * from {{ ref('dim_boxes') }}
    where is_used

),

boxed as (

    select
        image_id,
        finding,
        count(*) as box_count
    from finding_boxes
    group by image_id, finding

),

judged as (

    select
        readings.{{ keys | join(',\n        readings.') }},
        readings.cluster_id,
        readings.cluster_unit,
        boxed.box_count
    from readings
    inner join readers on readings.reader = readers.reader
    inner join boxed
        on readings.image_id = boxed.image_id
        and readings.finding = boxed.finding

),

predicted as (

    select
        judged.{{ keys | join(',\n        judged.') }},
        levels.map_level,
        reading_boxes.map_level as own_level,
        reading_boxes.box_number,
        reading_boxes.left_px,
        reading_boxes.top_px,
        reading_boxes.width_px,
        reading_boxes.height_px
    from judged
    inner join reading_boxes
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} judged.{{ column }}
            is not distinct from reading_boxes.{{ column }}
        {%- endfor %}
    inner join (
        values
        {%- for level in map_levels() %} ({{ level }}){{ ',' if not loop.last }}{% endfor %}
    ) as levels (map_level)
        on levels.map_level in (0, reading_boxes.map_level)

),

measured as (

    select
        predicted.{{ keys | join(',\n        predicted.') }},
        predicted.map_level,
        predicted.own_level,
        predicted.box_number,
        finding_boxes.box_number as true_number,
        greatest(
            0,
            least(
                predicted.left_px + predicted.width_px,
                finding_boxes.left_px + finding_boxes.width_px
            ) - greatest(predicted.left_px, finding_boxes.left_px)
        ) * greatest(
            0,
            least(
                predicted.top_px + predicted.height_px,
                finding_boxes.top_px + finding_boxes.height_px
            ) - greatest(predicted.top_px, finding_boxes.top_px)
        ) as shared_px2,
        predicted.width_px * predicted.height_px as predicted_px2,
        finding_boxes.width_px * finding_boxes.height_px as true_px2
    from predicted
    inner join finding_boxes
        on predicted.image_id = finding_boxes.image_id
        and predicted.finding = finding_boxes.finding

),

covered as (

    select
        *,
        predicted_px2 + true_px2 - shared_px2 as union_px2
    from measured

),

-- Products, no quotient: at the share itself nothing is rounded.
overlapped as (

    {%- for name, whole in overlaps().items() %}
    select
        covered.{{ keys | join(',\n        covered.') }},
        covered.map_level,
        '{{ name }}' as overlap,
        levels.overlap_pct,
        covered.own_level,
        covered.box_number,
        covered.true_number,
        100 * covered.shared_px2 > levels.overlap_pct * covered.{{ whole }} as is_hit
    from covered
    cross join (
        values
        {%- for level in overlap_levels() %} ({{ level }}){{ ',' if not loop.last }}{% endfor %}
    ) as levels (overlap_pct)
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

found as (

    select
        {{ cell | join(',\n        ') }},
        count(distinct true_number) filter (where is_hit) as found_count,
        count(distinct (own_level, box_number)) as predicted_count,
        count(distinct (own_level, box_number))
        - count(distinct (own_level, box_number)) filter (where is_hit) as false_count
    from overlapped
    group by {{ cell | join(', ') }}

),

cells as (

    select
        judged.*,
        map_levels.map_level,
        kinds.overlap,
        overlap_levels.overlap_pct
    from judged
    cross join (
        values
        {%- for level in map_levels() %} ({{ level }}){{ ',' if not loop.last }}{% endfor %}
    ) as map_levels (map_level)
    cross join (
        values
        {%- for name in overlaps() %} ('{{ name }}'){{ ',' if not loop.last }}{% endfor %}
    ) as kinds (overlap)
    cross join (
        values
        {%- for level in overlap_levels() %} ({{ level }}){{ ',' if not loop.last }}{% endfor %}
    ) as overlap_levels (overlap_pct)

),

-- A map without a box at a level finds nothing, and nothing wrong.
counted as (

    select
        cells.*,
        coalesce(found.found_count, 0) as found_count,
        coalesce(found.predicted_count, 0) as predicted_count,
        coalesce(found.false_count, 0) as false_count
    from cells
    left join found
        {%- for column in cell %}
        {{ 'on' if loop.first else 'and' }} cells.{{ column }}
            is not distinct from found.{{ column }}
        {%- endfor %}

),

final as (

    select
        restored.reader,
        restored.model_id,
        restored.inference_path,
        restored.finding,
        restored.map_level,
        restored.overlap,
        restored.overlap_pct,
        restored.image_id,
        restored.cluster_id,
        restored.cluster_unit,
        restored.box_count
        {%- for name in ['found', 'predicted', 'false'] %},
        reference.{{ name }}_count as reference_{{ name }}_count,
        restored.{{ name }}_count as restored_{{ name }}_count
        {%- endfor %}
    from counted as restored
    inner join counted as reference
        on restored.subject = 'restored'
        and reference.subject = 'reference'
        {%- for column in [
            'reader', 'image_id', 'finding', 'map_level', 'overlap', 'overlap_pct'
        ] %}
        and restored.{{ column }} = reference.{{ column }}
        {%- endfor %}

)

select * from final
