{{ config(materialized=limited(), meta={'by_part': true}) }}

{#- One pass over the blocks gives everything that tier-3 marts tell apart. Counted are the flags
    that a block's state, zone and class are made of, and these are named of what was counted: names
    are dearer to tell apart, block by block. -#}
{%- set notta, tta = tier3_indicators('notta'), tier3_indicators('tta') -%}
{%- set kept = ['is_silent_notta', 'is_masked_notta', 'is_lum_over_notta', 'is_lum_under_notta'] -%}
{%- set flags = [] -%}
{%- for indicator in notta.values() -%}
{%- do flags.extend([indicator.flag ~ '_notta', indicator.flag ~ '_tta']) -%}
{%- endfor -%}
{%- set told = flags + kept -%}
with blocks as (

    select * from {{ ref('int_blocks_completed') }}
    {{ limited_blocks() }}

),

limits as (

    select * from {{ ref('mart_limits') }}

),

judged as (

    {{ judged_blocks('blocks', 'limits') }}

),

counted as (

    select
        model_id,
        image_id,
        is_partial,
        local_ssim_notta is not null as has_notta,
        local_ssim_tta is not null as has_tta,
        local_ssim_notta >= ssim_p90 as is_hidden,
        {{ told | join(', ') }},
        {{ direction_count('notta') }} as direction_count_notta,
        count(*) as block_count
        {%- for name in notta %},
        max({{ notta[name].value }}) as most_{{ name }}_notta,
        max(
            case
                when {{ tta[name].value }} is not null
                    then least({{ notta[name].value }}, {{ tta[name].value }})
            end
        ) as most_{{ name }}_both
        {%- endfor %}
    from judged
    group by
        model_id, image_id, is_partial, local_ssim_notta is not null,
        local_ssim_tta is not null, local_ssim_notta >= ssim_p90,
        {{ told | join(', ') }},
        {{ direction_count('notta') }}

),

completed as (

    select
        *
        {%- for name, indicator in tier3_indicators('').items() %},
        has_notta and has_tta
        and {{ indicator.flag }}_notta is not null and {{ indicator.flag }}_tta is not null
            as is_complete_{{ name }}
        {%- endfor %}
    from counted

),

named as (

    select
        model_id,
        image_id,
        is_partial,
        has_tta,
        case
            when is_hidden then 'hidden'
            when not is_hidden then 'visible'
        end as zone
        {%- for name in notta %},
        {{ tier3_state(name) }} as state_{{ name }}
        {%- endfor %},
        {{ told | join(', ') }},
        {{ direction_class('notta') }} as direction_class_notta,
        block_count
        {%- for name in notta %},
        most_{{ name }}_notta,
        most_{{ name }}_both
        {%- endfor %}
    from completed

),

final as (

    select
        model_id,
        image_id,
        is_partial,
        has_tta,
        zone
        {%- for name, indicator in notta.items() %},
        {{ indicator.flag }}_notta,
        {{ indicator.flag }}_tta,
        state_{{ name }}
        {%- endfor %},
        {{ kept | join(', ') }},
        direction_class_notta,
        cast(sum(block_count) as bigint) as block_count
        {%- for name in notta %},
        max(most_{{ name }}_notta) as most_{{ name }}_notta,
        max(most_{{ name }}_both) as most_{{ name }}_both
        {%- endfor %}
    from named
    group by
        model_id, image_id, is_partial, has_tta, zone,
        {%- for name, indicator in notta.items() %}
        {{ indicator.flag }}_notta, {{ indicator.flag }}_tta, state_{{ name }},
        {%- endfor %}
        {{ kept | join(', ') }}, direction_class_notta

)

select * from final
