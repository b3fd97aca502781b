{#- The same of the composites that the study file states, which the build made a macro of the raw
    schema: its names are checked there, and no text of a study is rendered here. -#}
{%- set key = [
    'model_id', 'inference_path', 'image_id', 'source_image_id', 'site_number', 'arm', 'kind',
    'signal_part', 'contrast_dn',
] -%}
with placed as (

    select * from {{ ref('int_site_blocks') }}

),

blocks as (

    select * from {{ ref('fct_blocks') }}

),

composites as (

    select * from {{ ref('stg_raw__composites') }}

),

scored as (

    {%- for path in inference_paths() %}
    select
        placed.{{ key | join(', placed.') }},
        {%- if var('has_composites', false) %}
        raw.composites_{{ path }}(blocks) as scores
        {%- else %}
        cast([] as double[]) as scores
        {%- endif %}
    from placed
    inner join blocks
        on placed.model_id = blocks.model_id
        and placed.image_id = blocks.image_id
        and placed.block_row = blocks.block_row
        and placed.block_col = blocks.block_col
    where
        placed.inference_path = '{{ path }}'
        and {{ 'true' if var('has_composites', false) else 'false' }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

listed as (

    select
        {{ key | join(', ') }},
        unnest(scores) as score,
        generate_subscripts(scores, 1) as composite_number
    from scored

),

final as (

    select
        listed.{{ key | join(', listed.') }},
        composites.detector,
        'value' as reading,
        max(listed.score) as score
    from listed
    inner join composites on listed.composite_number = composites.composite_number
    group by listed.{{ key | join(', listed.') }}, composites.detector

)

select * from final
