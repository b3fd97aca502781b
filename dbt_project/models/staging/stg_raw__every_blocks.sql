{#- Measurements of every block of the study: in a build that adds, `blocks` has only those that it
    adds, and the others lie beside. What types of the axis are made of, and nothing else, as
    doubles as in stg_raw__blocks. -#}
{%- set own = ['sum', 'sum_sq', 'laplacian', 'noise', 'detail2', 'detail4'] -%}
{%- set steps = ['step_side', 'step_inside'] -%}
with source as (

    select
        *,
        true as is_added
    from {{ source('raw', 'blocks') }}
    {%- if is_growing() %}
    union all by name
    select
        *,
        false as is_added
    from {{ api.Relation.create(schema='raw', identifier='carried_blocks') }}
    {%- endif %}

),

renamed as (

    select
        model_id,
        image_id,
        is_added,
        cast(side_count as double) as side_count,
        cast(ringing_px as double) as ringing_px
        {%- for image in ['reference', 'notta'] %}
        {%- for name in own %},
        cast({{ image }}_{{ name }} as double) as {{ image }}_{{ name }}
        {%- endfor %}
        {%- for name in steps %},
        cast({{ image }}_{{ name }} as double) as {{ image }}_{{ name }}
        {%- endfor %}
        {%- endfor %}
        {%- for name in ['cross', 'cross_detail2', 'cross_detail4'] %},
        cast(notta_{{ name }} as double) as notta_{{ name }}
        {%- endfor %},
        cast(notta_ringing as double) as notta_ringing
    from source

)

select * from renamed
