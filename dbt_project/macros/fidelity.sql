{#- The six ways a block can go wrong in one direction (definitions E.5, [OWN]): name, and the SQL
    that is true where it does, from `fct_blocks` and `mart_limits`. A block without an edge has
    no ringing value and nothing that could ring: false there, not NULL. -#}
{% macro block_directions(path) %}
    {{ return({
        'sharpness lost': 'd_sharp_' ~ path ~ ' < -limit_sharp',
        'sharpness gained': 'd_sharp_' ~ path ~ ' > limit_sharp',
        'ringing': 'd_ring_' ~ path ~ ' is not null and d_ring_' ~ path ~ ' > limit_ring',
        'blocking': 'd_block_' ~ path ~ ' > limit_block',
        'texture lost': 'd_texture_' ~ path ~ ' < -limit_texture',
        'noise': 'd_noise_' ~ path ~ ' > limit_noise',
    }) }}
{% endmacro %}

{#- Components that these directions read. -#}
{% macro limited_components() %}
    {{ return(['sharp', 'texture', 'noise', 'block', 'ring']) }}
{% endmacro %}

{#- What can be wrong with a block of an inference path (definitions E.6, [OWN]): a name, what its
    flag is called before the path, and the SQL that measures it and limits it, from `fct_blocks` and
    `mart_limits`. -#}
{% macro tier3_indicators(path) %}
    {{ return({
        'axis': {'flag': 'is_extreme', 'value': 'abs(pc1_' ~ path ~ ')', 'limit': 'tau'},
        'error': {'flag': 'is_erroneous', 'value': 'mse_dn2_' ~ path, 'limit': 'error_limit_dn2'},
        'contradicted': {
            'flag': 'is_contradicted',
            'value': 'lr_contradicted_px_' ~ path,
            'limit': 'contradicted_limit_px',
        },
    }) }}
{% endmacro %}

{#- States of a block whose notta image alone is judged: name, and whether beyond the limit. -#}
{% macro notta_states() %}{{ return({'Within': false, 'Beyond': true}) }}{% endmacro %}

{#- Flags and classes of a block that tier-3 marts count: a column's stem, and the SQL that is true
    for the blocks, from `int_tier3_counts`. -#}
{% macro tier3_kinds() %}
    {{ return({
        'silent': 'is_silent_notta',
        'masked': 'is_masked_notta',
        'lum_over': 'is_lum_over_notta',
        'lum_under': 'is_lum_under_notta',
        'none': "direction_class_notta = 'None'",
        'single': "direction_class_notta = 'Single'",
        'multi': "direction_class_notta = 'Multi'",
        'unclassified': 'direction_class_notta is null',
    }) }}
{% endmacro %}

{#- Shares of a cell of mart_tier3_states that have an interval: a name, and the columns of
    int_tier3_cells that count the part and the whole. -#}
{% macro tier3_shares() %}
    {{ return({
        'zone': ['block_count', 'zone_count'],
        'model': ['block_count', 'model_count'],
        'silent': ['silent_count', 'block_count'],
        'zone_silent': ['zone_silent_count', 'zone_count'],
    }) }}
{% endmacro %}

{#- The four states of a block (definitions E.6): name, beyond the limit notta, and tta. -#}
{% macro tier3_states() %}
    {{ return({
        'Stable': [false, false],
        'Persistent': [true, true],
        'Escape': [true, false],
        'BlindSpot': [false, true],
    }) }}
{% endmacro %}

{#- Blocks between a block and the nearest side of its grid: 0 on the frame. -#}
{% macro frame_distance(row, col, rows, cols) -%}
    least({{ row }}, {{ rows }} - 1 - {{ row }}, {{ col }}, {{ cols }} - 1 - {{ col }})
{%- endmacro %}

{#- Share of a grid's blocks whose frame distance is at least a depth: what uniform placement
    expects. Argument: SQL of the depth, >= 0. Result: 0..1, from `block_rows` and `block_cols`. -#}
{% macro share_at_least(depth) -%}
    greatest(block_rows - 2 * {{ depth }}, 0) * greatest(block_cols - 2 * {{ depth }}, 0)
    / cast(block_rows * block_cols as double)
{%- endmacro %}

{#- Sides of the frame; a block as near to a vertical as to a horizontal side is a corner. -#}
{% macro frame_sides() %}{{ return(['top', 'bottom', 'left', 'right', 'corner']) }}{% endmacro %}

{#- The tile that a model declares (`[[models]] tile_px`), else the study's. Argument: SQL of its id.
    Result: px; NULL where neither does. -#}
{% macro declared_tile(model_id) -%}
    {%- set tile_px = var('tile_px', none) -%}
    {%- set study_tile = 'null' if tile_px is none else tile_px -%}
    {%- set tiles = var('model_tiles', {}) -%}
    {%- if tiles -%}
    case {{ model_id }}
            {%- for name, tile_px in tiles.items() %}
            when {{ dbt.string_literal(dbt.escape_single_quotes(name)) }} then {{ tile_px }}
            {%- endfor %}
            else {{ study_tile }}
        end
    {%- else -%}
    {{ study_tile }}
    {%- endif -%}
{%- endmacro %}

{#- What a lesion may have more or less of: a name and the SQL that reads it for an inference
    path from `fct_blocks` and `mart_limits`. -#}
{% macro lesion_quantities(path) %}
    {%- set quantities = changed_quantities(path) -%}
    {%- do quantities.update({
        'extreme': 'cast(abs(pc1_' ~ path ~ ') > tau as integer)',
        'mse_dn2': 'mse_dn2_' ~ path,
    }) -%}
    {{ return(quantities) }}
{% endmacro %}

{#- Mean in a stated order, so that no last digit depends on threads. Arguments: SQL of the value,
    and the columns that order it. Result: an aggregate; NULL values are left out. -#}
{% macro ordered_mean(value, order) -%}
    list_sum(list({{ value }} order by {{ order }}) filter (where {{ value }} is not null))
    / nullif(count({{ value }}), 0)
{%- endmacro %}

{#- Standard error of a mean. Arguments: names of columns that hold a list of values, and its
    mean. Result: SQL >= 0, exactly 0 where all values are equal; NULL with fewer than two. -#}
{% macro standard_error(values, mean) -%}
    sqrt(
        case
            when list_min({{ values }}) = list_max({{ values }}) then 0
            else list_sum(list_transform(
                {{ values }}, lambda value: (value - {{ mean }}) * (value - {{ mean }})
            ))
        end
        / nullif(len({{ values }}) - 1, 0) / len({{ values }})
    )
{%- endmacro %}

{#- Pearson's r of two lists whose means are subtracted. Arguments: SQL of two centred lists.
    Result: -1..1, NULL where one does not vary: all its items are then equal, and need not be 0. -#}
{% macro r_of_lists(first, second) -%}
    case
        when list_min({{ first }}) < list_max({{ first }})
            and list_min({{ second }}) < list_max({{ second }})
            -- Points on a line may give a last digit more than 1, and 1 - r * r no root.
            then greatest(-1, least(1, list_dot_product({{ first }}, {{ second }}) / (
                sqrt(list_dot_product({{ first }}, {{ first }}))
                * sqrt(list_dot_product({{ second }}, {{ second }}))
            )))
    end
{%- endmacro %}

{#- Slope of the least-squares line. Arguments: SQL of two centred lists. Result: the second's
    change per unit of the first, NULL where the first does not vary. -#}
{% macro slope_of_lists(first, second) -%}
    case
        when list_min({{ first }}) < list_max({{ first }})
            then list_dot_product({{ first }}, {{ second }})
                / list_dot_product({{ first }}, {{ first }})
    end
{%- endmacro %}

{#- The two ends of a bootstrap interval of mart_lfv_proof. Arguments: the stem of the columns of
    `intervals`, and of the mart; SQL of the estimate; the stem of what counts its clusters in
    `proved`; the least and greatest value. Result: two select items. -#}
{% macro with_interval(name, alias, estimate, counted, least=none, greatest=none) -%}
    {%- for end in ['low', 'high'] -%}
    {{ interval_end(
        estimate, 'intervals.' ~ name ~ '_' ~ end, 'proved.' ~ counted ~ '_cluster_count',
        counted ~ '_limits', least, greatest
    ) }} as {{ alias }}_{{ end }}{{ ',' if not loop.last }}
    {% endfor -%}
{%- endmacro %}
