{{ config(materialized='growing_table') }}

{#- Exact sums of the features of all spaces and of their products within a space, one pass for both
    that have covariances: DECIMAL in, DECIMAL out. -#}
{%- set names, products = [], [] -%}
{%- for space in feature_spaces().values() -%}
{%- for first in space -%}
{%- if first not in names %}{% do names.append(first) %}{% endif -%}
{%- for second in space[loop.index0:] if (first, second) not in products -%}
{%- do products.append((first, second)) -%}
{%- endfor -%}
{%- endfor -%}
{%- endfor -%}
with blocks as (

    select * from {{ ref('int_blocks_mixed') }}
    where is_added

),

rounded as (

    select
        model_id,
        image_id
        {%- for name in names %},
        cast(phi_{{ name }} as {{ fixed() }}) as phi_{{ name }}
        {%- endfor %}
    from blocks

),

final as (

    select
        model_id,
        image_id,
        count(*) as block_count
        {%- for name in names %},
        sum(phi_{{ name }}) as sum_{{ name }}
        {%- endfor %}
        {%- for first, second in products %},
        sum(phi_{{ first }} * phi_{{ second }}) as sum_{{ first }}_{{ second }}
        {%- endfor %}
    from rounded
    group by model_id, image_id

)

select * from final
