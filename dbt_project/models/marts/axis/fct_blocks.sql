{{ config(materialized=growing_table()) }}

{#- In the order of the raw shards (model, first image), so that one image's blocks lie
    together and are found by zone maps, without sorting; what a growing build adds lies behind. -#}
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
        cast(sign(pc1_{{ path }}) * ln(1 + abs(pc1_{{ path }})) as {{ fixed() }})
            as axis1_{{ path }}{{ ',' if not loop.last }}
        {%- endfor %}
    from scored

),

final as (

    select
        model_id,
        image_id,
        block_row,
        block_col,
        is_partial,
        case
            when axis1_notta > 0 then 'positive'
            when axis1_notta < 0 then 'negative'
            when axis1_notta = 0 then 'zero'
        end as polarity_notta,
        axis1_notta,
        axis1_tta,
        pc1_notta,
        pc1_tta,
        local_ssim_notta,
        local_ssim_tta
        {%- for measure in ['mean_dn', 'variance_dn2'] %}
        {%- for image in ['reference'] + inference_paths() %},
        {{ measure }}_{{ image }}
        {%- endfor %}
        {%- endfor %}
        {%- for path in inference_paths() %}
        {%- for component in components() %},
        d_{{ component }}_{{ path }}
        {%- endfor %}
        {%- endfor %}
        {%- for path in inference_paths() %},
        mse_dn2_{{ path }},
        {%- for kind in ledger_kinds() + ['shifted'] %}
        {{ kind }}_dn2_{{ path }},
        {%- endfor %}
        {%- for flag in block_flags() %}
        {{ flag }}_{{ path }},
        {%- endfor %}
        lr_judged_px_{{ path }},
        lr_contradicted_px_{{ path }},
        lr_rms_dn_{{ path }},
        {%- for kind in lr_kinds(path) %}
        lr_{{ kind }}_dn2_{{ path }},
        {%- endfor %}
        null_correlation_{{ path }}
        {%- endfor %}
    from axes

)

select * from final
