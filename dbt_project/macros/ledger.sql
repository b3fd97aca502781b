{#- The ledger of a squared error (definitions E.8, [OWN]), scale by scale. For one block or window
    and one scale: the energies of reference and restored and their product, as whole numbers. With
    g = product / reference, the part of restored that is g times the reference is amplitude, too
    small (lost) or too large (exaggerated); the rest is invented. -#}

{#- Cells of these sides, in px, lie inside a block; and those of windows of blocks. -#}
{% macro block_scales() %}{{ return([2, 4, 8]) }}{% endmacro %}
{% macro window_scales() %}{{ return([16, 32, 64]) }}{% endmacro %}
{% macro ledger_kinds() %}{{ return(['invented', 'lost', 'exaggerated']) }}{% endmacro %}

{#- What restored has and the reference has not. Arguments: SQL of the three whole
    numbers. Result: DOUBLE >= 0, of their unit; a reference turned over (product below 0) counts as
    lost whole, and what stands in its place as invented. Where the reference is 0, so is the
    product. -#}
{% macro invented(reference, restored, product) -%}
    case
            when {{ product }} > 0
                then {{ restored }} - cast({{ product }} as double) * {{ product }} / {{ reference }}
            else cast({{ restored }} - 2 * {{ product }} as double)
        end
{%- endmacro %}

{#- The sums of int_image_ledgers over a group of blocks or windows. Arguments: SQL of the three
    whole numbers and of what `invented` gives of them, by what they are multiplied to be 4096ths of
    dn2, to which part of it what is invented is rounded, and what the columns' names end in.
    Result: select items, exact; invented and exaggerated in 10,000ths. Invented is rounded once,
    far above what a double leaves unsaid of it, so that the rest of the error is never below 0. -#}
{% macro ledger_sums(reference, restored, product, invention, unit, parts, suffix) -%}
    {%- set rounded = 'floor(' ~ parts ~ ' * ' ~ invention ~ ' + 0.5)' -%}
    {%- set sums = {} -%}
    {%- for name, sql in {
        'reference': reference, 'restored': restored, 'product': product, 'rounded': rounded
    }.items() -%}
    {#- Doubles that are whole numbers: their bigint sums are exact however many there are. -#}
    {%- do sums.update({name: 'sum(cast(' ~ sql ~ ' as bigint))'}) -%}
    {%- endfor -%}
    {{ unit }} * {{ sums.reference }} as reference_energy_{{ suffix }},
        {{ unit }} * {{ sums.product }} as product_{{ suffix }},
        {{ unit }} * ({{ sums.reference }} + {{ sums.restored }} - 2 * {{ sums.product }})
            as error_{{ suffix }},
        {{ unit * 10000 // parts }} * {{ sums.rounded }} as invented_{{ suffix }},
        {{ unit * 10000 // parts }} * sum(cast(
            case
                when {{ product }} > {{ reference }}
                    then {{ parts }} * ({{ reference }} + {{ restored }} - 2 * {{ product }})
                        - {{ rounded }}
                else 0
            end
            as bigint
        )) as exaggerated_{{ suffix }}
{%- endmacro %}

{#- Rows of int_image_ledgers. Arguments: a table with an image's `ledger_sums` at some scales,
    `count` and `shifted`; the scales. Result: a select per inference path and scale. -#}
{% macro ledger_rows(table, scales) -%}
    {%- for path in inference_paths() -%}
    {%- set is_last = loop.last -%}
    {%- for scale in scales -%}
    select
        model_id,
        image_id,
        '{{ path }}' as inference_path,
        {{ scale }} as scale_px,
        64 * count_{{ path }} as pixel_count
        {%- for name in ['reference_energy', 'product', 'error'] %},
        cast({{ name }}_{{ scale }}_{{ path }} as decimal(38, 4)) as {{ name }}
        {%- endfor %}
        {%- for name in ['invented', 'exaggerated'] %},
        cast(
            cast({{ name }}_{{ scale }}_{{ path }} as decimal(38, 0))
            * cast(0.0001 as decimal(4, 4))
            as decimal(38, 4)
        ) as {{ name }}
        {%- endfor %},
        cast(
            {{ 'shifted_' ~ path if scale == scales[-1] else 'null' }} as decimal(38, 4)
        ) as shifted
    from {{ table }}
    where count_{{ path }} > 0
    {%- if not (is_last and loop.last) %}
    union all
    {% endif %}
    {%- endfor %}
    {%- endfor %}
{%- endmacro %}
