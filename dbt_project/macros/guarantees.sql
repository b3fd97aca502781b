{#- Trust masks (definitions E.15): conformal risk control over patients (Angelopoulos, Bates,
    Fisch, Lei & Schuster, ICLR 2024, arXiv 2208.02814). A block is trusted where its score, which
    needs no reference, is at or below a limit; limits lie on a grid that no datum moves. -#}

{#- What a block is suspected by; the higher, the more. Argument: the inference path. Result: by
    name `sql`, of columns of fct_blocks, six decimals, NULL where nothing is known; `unit`, dn or
    dn2; `label`, and what it `says`. -#}
{% macro trust_scores(path) %}
    {{ return({
        'lr_rms_dn': {
            'unit': 'dn',
            'sql': 'lr_rms_dn_' ~ path,
            'label': 'LR residual',
            'says': 'Root mean square, over LR pixels, of what the restored block implies less what'
                ~ ' its LR image holds. NULL without LR images, and of blocks that none can judge.',
        },
        'tta_gap_dn2': {
            'unit': 'dn2',
            'sql': 'cast(pow(cast(mean_dn_tta - mean_dn_notta as double), 2)'
                ~ ' + pow(sqrt(cast(variance_dn2_tta as double))'
                ~ ' - sqrt(cast(variance_dn2_notta as double)), 2) as ' ~ fixed_dn2() ~ ')',
            'label': 'gap between notta and tta',
            'says': 'Least mean squared difference that the block without and the block with'
                ~ ' test-time augmentation can have, by their means and variances. NULL without the'
                ~ ' one or the other.',
        },
        'detail_dn2': {
            'unit': 'dn2',
            'sql': 'variance_dn2_' ~ path,
            'label': 'detail of the restored block',
            'says': 'Variance of the restored block: local detail. Every measured block has it.',
        },
    }) }}
{% endmacro %}

{#- What makes a block truly bad, which only a reference can tell: a part of its squared error
    above a limit. Argument: the inference path. Result: by name `sql`, a condition on columns of
    fct_blocks; `limit_dn2`, SQL; what it `says`. -#}
{% macro trust_losses(path) %}
    {%- set part = constant('trust_part_dn2') -%}
    {%- set losses = {} -%}
    {%- for name, column, limit, says in [
        ('erroneous', 'mse_dn2_', var('error_limit_dn2'),
            'Squared error above [parameters] error_limit_dn2: the indicator error of'
            ~ ' mart_tier3_states.'),
        ('invented', 'invented_dn2_', part,
            'Invented energy of the ledger (E.8) above ' ~ part ~ ' dn2.'),
        ('lost', 'lost_dn2_', part, 'Lost energy of the ledger (E.8) above ' ~ part ~ ' dn2.'),
    ] -%}
    {%- set limit_dn2 = 'cast(' ~ limit ~ ' as ' ~ fixed_dn2() ~ ')' -%}
    {%- do losses.update({name: {
        'sql': column ~ path ~ ' > ' ~ limit_dn2, 'limit_dn2': limit_dn2, 'says': says
    }}) -%}
    {%- endfor -%}
    {{ return(losses) }}
{% endmacro %}

{#- Shares of the truly bad blocks that a mask may miss. -#}
{% macro trust_alphas() %}
    {{ return([
        constant('trust_alpha_1'), constant('trust_alpha_2'), constant('trust_alpha_3'),
        constant('trust_alpha_4')
    ]) }}
{% endmacro %}

{#- The level of a block: the number of the least limit that its score does not exceed; one more
    than there are for a block without a score, which no limit trusts. Limits are powers of 2: of
    sixth decimals only those powers lie on one, and of these the logarithm is exact. Arguments:
    SQL of the score, its unit. Result: an integer, 1 or more. -#}
{% macro trust_level(score, unit) -%}
    {%- set levels, top = constant('trust_levels'), constant('trust_octaves') -%}
    case
            when {{ score }} is null then {{ levels + 1 }}
            when {{ score }} <= 0 then 1
            else greatest(1, least({{ levels }}, {{ levels }} + cast(ceil(
                {{ constant('trust_steps') }} * (
                    log2(cast({{ score }} as double))
                    {{- ' / 2' if unit == 'dn2' }} - {{ top }}
                )
            ) as integer)))
        end
{%- endmacro %}

{#- The limit of a level, cut to the six decimals that scores have: what is at or below the one is
    at or below the other. Arguments: SQL of the level and of its unit. Result: decimal; NULL of
    level 0, which trusts no block. -#}
{% macro trust_limit(level, unit) -%}
    case
        when {{ level }} > 0 then cast(
            floor(1e6 * pow(
                2,
                (
                    {{ constant('trust_octaves') }}
                    + cast({{ level }} - {{ constant('trust_levels') }} as double)
                    / {{ constant('trust_steps') }}
                ) * case {{ unit }} when 'dn2' then 2 else 1 end
            )) / 1e6
            as {{ fixed_dn2() }}
        )
    end
{%- endmacro %}

{#- Scores and their units as rows. -#}
{% macro trust_units() -%}
    select *
    from (values
        {%- for name, score in trust_scores('notta').items() %}
        ('{{ name }}', '{{ score.unit }}'){{ ',' if not loop.last }}
        {%- endfor %}
    ) as named (score, unit)
{%- endmacro %}
