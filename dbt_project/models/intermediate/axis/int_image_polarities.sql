{{ config(meta={'by_part': true}) }}

{#- Blocks that every choice puts on the same sides, added up: one pass over all blocks. The sides
    are the base-3 digits of `polarities`, choice 0 the lowest: 0 negative, 1 zero, 2 positive.
    Scores are rounded as those of fct_blocks are, to millionths, and compared as whole numbers of
    these, in doubles: casts to DECIMAL take twice as long, and a case for each of three sides
    twice as long as the sign. -#}
{%- set axes = choice_axes() -%}
{%- set components = judged_components('notta') | list -%}
{%- set names = [] -%}
{%- for space in feature_spaces().values() -%}
{%- for name in space if name not in names -%}
{%- do names.append(name) -%}
{%- endfor -%}
{%- endfor -%}
{%- set found = choices() -%}
{%- set half = (found | length + 1) // 2 -%}
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
        round(1e6 * centre_{{ axis.name }}) as centre_{{ axis.name }}
        {%- endfor %}
    from {{ ref('int_choice_weights') }}

),

-- The axes that are not a model's own are the same of every model: beside a block, one row costs
-- next to nothing, and what a join finds is copied for each block.
shared as (

    select
        {%- for axis in axes if axis.basis != 'own' %}
        {%- for name in axis.features %}
        any_value(weight_{{ axis.name }}_{{ name }}) as weight_{{ axis.name }}_{{ name }},
        {%- endfor %}
        any_value(centre_{{ axis.name }}) as centre_{{ axis.name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from weights

),

owned as (

    select
        model_id
        {%- for axis in axes if axis.basis == 'own' %}
        {%- for name in axis.features %},
        weight_{{ axis.name }}_{{ name }}
        {%- endfor %},
        centre_{{ axis.name }}
        {%- endfor %}
    from weights

),

rounded as (

    select
        model_id,
        image_id
        {%- for name in names %},
        round(1e6 * phi_{{ name }}) / 1e6 as phi_{{ name }}
        {%- endfor %}
        {%- for name in components %},
        cast(d_{{ name }} as {{ fixed() }}) as d_{{ name }}
        {%- endfor %}
    from blocks

),

scored as (

    select
        rounded.model_id,
        rounded.image_id
        {%- for name in components %},
        rounded.d_{{ name }}
        {%- endfor %}
        {%- for axis in axes %}
        {%- set table = 'owned' if axis.basis == 'own' else 'shared' %},
        round(1e6 * (
            {%- for name in axis.features %}
            {{ '+ ' if not loop.first }}
            {{ table }}.weight_{{ axis.name }}_{{ name }} * rounded.phi_{{ name }}
            {%- endfor %}
        )) as score_{{ axis.name }},
        {{ table }}.centre_{{ axis.name }}
        {%- endfor %}
    from rounded
    inner join owned on rounded.model_id = owned.model_id
    cross join shared

),

-- Two numbers of half the digits, which fit into integers: these are multiplied in half the time.
halved as (

    select
        model_id,
        image_id
        {%- for name in components %},
        d_{{ name }}
        {%- endfor %}
        {%- for part in [0, 1] %},
        {% for choice in found if choice.number // half == part -%}
        {%- set centre = ' - centre_' ~ choice.name if choice.origin == 'mean' else '' %}
        {{- '+ ' if not loop.first }}{{ 3 ** (choice.number % half) }}
            * cast(sign(score_{{ choice.name }}{{ centre }}) as integer)
        {% endfor -%}
        + {{ (3 ** half - 1) // 2 }} as polarities_{{ part }}
        {%- endfor %}
    from scored

),

sided as (

    select
        model_id,
        image_id,
        {%- for name in components %}
        d_{{ name }},
        {%- endfor %}
        polarities_0 + cast({{ 3 ** half }} as bigint) * polarities_1 as polarities
    from halved

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
