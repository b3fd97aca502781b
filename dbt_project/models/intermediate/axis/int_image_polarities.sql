{#- Blocks that every choice puts on the same sides, added up: one pass over all blocks. The sides
    are the base-3 digits of `polarities`, choice 0 the lowest: 0 negative, 1 zero, 2 positive.
    Scores are rounded as those of fct_blocks are, to millionths, and compared as whole numbers of
    these: casts to DECIMAL take twice as long. -#}
{%- set axes = choice_axes() -%}
{%- set components = judged_components('notta') | list -%}
with blocks as (

    select * from {{ ref('int_blocks_mixed') }}

),

-- Centres are rounded here, once a model and not once a block.
weights as (

    select
        model_id
        {%- for axis in axes %}
        {%- for name in axis.features %},
        weight_{{ axis.name }}_{{ name }}
        {%- endfor %},
        cast(round(1e6 * centre_{{ axis.name }}) as bigint) as centre_{{ axis.name }}
        {%- endfor %}
    from {{ ref('int_choice_weights') }}

),

scored as (

    select
        blocks.model_id,
        blocks.image_id
        {%- for name in components %},
        blocks.d_{{ name }}
        {%- endfor %}
        {%- for axis in axes %},
        cast(
            round(1e6 * (
                {%- for name in axis.features %}
                {{ '+ ' if not loop.first }}
                weights.weight_{{ axis.name }}_{{ name }} * blocks.phi_{{ name }}
                {%- endfor %}
            ))
            as bigint
        ) as score_{{ axis.name }},
        weights.centre_{{ axis.name }}
        {%- endfor %}
    from blocks
    inner join weights on blocks.model_id = weights.model_id

),

sided as (

    select
        model_id,
        image_id,
        {%- for name in components %}
        d_{{ name }},
        {%- endfor %}
        {%- for choice in choices() %}
        {%- set score = 'score_' ~ choice.name %}
        {%- set zero = 'centre_' ~ choice.name if choice.origin == 'mean' else '0' %}
        {{ '+ ' if not loop.first }}case
            when {{ score }} < {{ zero }} then cast(0 as bigint)
            when {{ score }} > {{ zero }} then cast({{ 2 * 3 ** choice.number }} as bigint)
            else cast({{ 3 ** choice.number }} as bigint)
        end
        {%- endfor %} as polarities
    from scored

),

final as (

    select
        model_id,
        image_id,
        polarities
        {%- for name in components %},
        count(d_{{ name }}) as count_{{ name }},
        sum(d_{{ name }}) as sum_{{ name }}
        {%- endfor %}
    from sided
    group by model_id, image_id, polarities

)

select * from final
