{{ config(materialized=limited()) }}

{#- One pass over the blocks gives everything that tier-3 marts tell apart. -#}
{%- set notta, tta = tier3_indicators('notta'), tier3_indicators('tta') -%}
{%- set measures = ['local_ssim_tta', 'is_partial'] -%}
{%- for name in notta -%}
{%- do measures.append(notta[name].value ~ ' as ' ~ name ~ '_notta') -%}
{%- do measures.append(tta[name].value ~ ' as ' ~ name ~ '_tta') -%}
{%- endfor -%}
with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    {{ limited_blocks() }}

),

limits as (

    select * from {{ ref('mart_limits') }}

),

states as (

    {{ block_states('blocks', 'limits', measures) }}

),

final as (

    select
        model_id,
        image_id,
        is_partial,
        local_ssim_tta is not null as has_tta,
        zone
        {%- for name, indicator in notta.items() %},
        {{ indicator.flag }}_notta,
        {{ indicator.flag }}_tta,
        state_{{ name }}
        {%- endfor %},
        is_silent_notta,
        is_masked_notta,
        is_lum_over_notta,
        is_lum_under_notta,
        direction_class_notta,
        count(*) as block_count
        {%- for name in notta %},
        max({{ name }}_notta) as most_{{ name }}_notta,
        max(case when {{ name }}_tta is not null then least({{ name }}_notta, {{ name }}_tta) end)
            as most_{{ name }}_both
        {%- endfor %}
    from states
    group by
        model_id, image_id, is_partial, local_ssim_tta is not null, zone,
        {%- for name, indicator in notta.items() %}
        {{ indicator.flag }}_notta, {{ indicator.flag }}_tta, state_{{ name }},
        {%- endfor %}
        is_silent_notta, is_masked_notta, is_lum_over_notta, is_lum_under_notta,
        direction_class_notta

)

select * from final
