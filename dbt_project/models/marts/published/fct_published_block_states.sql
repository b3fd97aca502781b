{{ config(materialized='view') }}

{#- What fct_block_states is of measured blocks, by the same macro; no directions, whose
    limits are of measured blocks. It names published tables without their database, as
    fct_block_states does. -#}
with blocks as (

    select * from {{ ref('fct_published_blocks').include(database=false) }}

),

limits as (

    select
        *
        {%- for component in limited_components() %},
        cast(null as {{ fixed() }}) as limit_{{ component }}
        {%- endfor %}
    from {{ ref('mart_published_block_limits').include(database=false) }}

),

states as (

    {{ block_states('blocks', 'limits', ['label', 'stated_state'], ['label', 'model_id']) }}

),

final as (

    select
        label,
        model_id,
        image_id,
        block_row,
        block_col
        {%- for name in tier3_indicators('') %},
        state_{{ name }}
        {%- endfor %},
        stated_state,
        zone
        {%- for name in tier3_indicators('') %},
        delta_tier3_{{ name }}
        {%- endfor %},
        delta_ssim
        {%- for path in inference_paths() %}
        {%- for indicator in tier3_indicators(path).values() %},
        {{ indicator.flag }}_{{ path }}
        {%- endfor %},
        is_masked_{{ path }}
        {%- for flag in block_flags() %},
        {{ flag }}_{{ path }}
        {%- endfor %}
        {%- endfor %}
    from states

)

select * from final
