{{ config(materialized='growing_table') }}

{#- What fct_blocks is stored as. In the order of the raw shards (model, first image), so that one
    image's blocks lie together and are found by zone maps, without sorting; what a growing build
    adds lies behind. -#}
{%- set computed = computed_block_columns() -%}
with blocks as (

    select * from {{ ref('int_blocks_featured') }}

),

-- One row; the weights are NULL where the axis is not identifiable, and so are the scores.
basis as (

    select
        {%- for name in features() %}
        max(weight) filter (where feature = '{{ name }}') as weight_{{ name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_basis_loadings') }}
    where basis_id = '{{ scoring_basis() }}' and component = 1 and is_identifiable

),

scored as (

    select
        blocks.*
        {%- for path in inference_paths() %},
        cast(
            {%- for name in features() %}
            {{ '+ ' if not loop.first }}basis.weight_{{ name }} * blocks.phi_{{ name }}_{{ path }}
            {%- endfor %}
            as {{ fixed() }}
        ) as pc1_{{ path }}
        {%- endfor %}
    from blocks
    cross join basis

),

axes as (

    select
        *,
        {%- for path in inference_paths() %}
        {{ axis1_of('pc1_' ~ path) }} as axis1_{{ path }}{{ ',' if not loop.last }}
        {%- endfor %}
    from scored

),

signed as (

    select
        *,
        {{ polarity_of('axis1_notta') }} as polarity_notta
    from axes

),

final as (

    select
        model_id,
        image_id,
        block_row,
        block_col,
        is_partial
        {%- for name in block_measures() if name not in computed %},
        {{ name }}
        {%- endfor %}
    from signed

)

select * from final
