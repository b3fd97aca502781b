{{ config(materialized='view') }}

{#- Sums over the 64 pixels give everything as exact whole numbers: the spread
    64 sum(x^2) - sum(x)^2 is the variance times 4096, and so are the Haar energies (definitions
    E.7), which add up to it; products likewise. Features have six decimals, as those of
    int_blocks_mixed, but are doubles: they are multiplied by doubles, and never added up. -#}
with blocks as (

    select * from {{ ref('stg_raw__blocks') }}

),

spreads as (

    select
        *,
        64 * reference_sum_sq - reference_sum * reference_sum as reference_spread
        {%- for path in inference_paths() %},
        64 * {{ path }}_sum_sq - {{ path }}_sum * {{ path }}_sum as {{ path }}_spread,
        64 * {{ path }}_cross - reference_sum * {{ path }}_sum as {{ path }}_joint,
        ({{ path }}_sum - reference_sum) * ({{ path }}_sum - reference_sum) as {{ path }}_shift_sq,
        reference_sum * reference_sum + {{ path }}_sum * {{ path }}_sum
        + 4096 * {{ ssim_c1() }} as {{ path }}_level_sq
        {%- endfor %}
    from blocks

),

energies as (

    select
        *
        {%- for image in ['reference'] + inference_paths() %},
        16 * {{ image }}_detail2 as energy_2_{{ image }},
        4 * {{ image }}_detail4 as energy_4_{{ image }},
        {{ image }}_spread - 16 * {{ image }}_detail2 - 4 * {{ image }}_detail4
            as energy_8_{{ image }}
        {%- endfor %}
        {%- for path in inference_paths() %},
        16 * {{ path }}_cross_detail2 as product_2_{{ path }},
        4 * {{ path }}_cross_detail4 as product_4_{{ path }},
        {{ path }}_joint - 16 * {{ path }}_cross_detail2 - 4 * {{ path }}_cross_detail4
            as product_8_{{ path }}
        {%- endfor %}
    from spreads

),

-- Of the error's energy at a scale, what is not the reference's (definitions E.8).
inventions as (

    select
        *
        {%- for path in inference_paths() %}
        {%- for scale in block_scales() %},
        {{ invented(
            'energy_' ~ scale ~ '_reference', 'energy_' ~ scale ~ '_' ~ path,
            'product_' ~ scale ~ '_' ~ path
        ) }} as invented_{{ scale }}_{{ path }}
        {%- endfor %}
        {%- endfor %}
    from energies

),

-- A sixty-fourth of an integer has six decimals: the squared error is exact. Its parts are
-- differences of rounded running sums, so none is negative and they add up to it.
ledgers as (

    select
        *
        {%- for path in inference_paths() %},
        cast({{ path }}_shift_sq / 4096 as {{ fixed_dn2() }}) as up_to_shift_{{ path }},
        cast(
            (
                {{ path }}_shift_sq
                {%- for scale in block_scales() %}
                + invented_{{ scale }}_{{ path }}
                {%- endfor %}
            ) / 4096
            as {{ fixed_dn2() }}
        ) as up_to_invention_{{ path }},
        cast(
            (
                {{ path }}_shift_sq
                {%- for scale in block_scales() %}
                + case
                    when product_{{ scale }}_{{ path }} > energy_{{ scale }}_reference
                        then energy_{{ scale }}_reference + energy_{{ scale }}_{{ path }}
                            - 2 * product_{{ scale }}_{{ path }}
                    else invented_{{ scale }}_{{ path }}
                end
                {%- endfor %}
            ) / 4096
            as {{ fixed_dn2() }}
        ) as up_to_excess_{{ path }},
        cast(
            (reference_sum_sq + {{ path }}_sum_sq - 2 * {{ path }}_cross) / 64 as {{ fixed_dn2() }}
        ) as mse_dn2_{{ path }}
        {%- endfor %}
    from inventions

),

final as (

    select
        model_id,
        image_id,
        block_row,
        block_col,
        is_partial,
        reference_sum,
        reference_noise,
        reference_null_energy,
        cast(reference_sum / 64 as {{ fixed() }}) as mean_dn_reference,
        cast(reference_spread / 4096 as {{ fixed_dn2() }}) as variance_dn2_reference
        {%- for scale in block_scales() %},
        energy_{{ scale }}_reference
        {%- endfor %}
        {%- for path in inference_paths() %},
        {{ path }}_sum,
        {{ path }}_shift_sq as shift_sq_{{ path }},
        {%- for scale in block_scales() %}
        energy_{{ scale }}_{{ path }},
        product_{{ scale }}_{{ path }},
        invented_{{ scale }}_{{ path }},
        {%- endfor %}
        cast({{ path }}_sum / 64 as {{ fixed() }}) as mean_dn_{{ path }},
        cast({{ path }}_spread / 4096 as {{ fixed_dn2() }}) as variance_dn2_{{ path }},
        {%- for name, sql in signed_features(path).items() %}
        round(1e6 * ({{ sql }})) / 1e6 as phi_{{ name }}_{{ path }},
        {%- endfor %}
        {%- for name, sql in judged_components(path).items() %}
        cast({{ sql }} as {{ fixed() }}) as d_{{ name }}_{{ path }},
        {%- endfor %}
        -- The other direction components (definitions E.5, [OWN]): restored minus reference.
        cast(
            ln((energy_2_{{ path }} / 4096 + 1) / (energy_2_reference / 4096 + 1)) as {{ fixed() }}
        ) as d_hf_{{ path }},
        cast(
            ({{ path }}_step_side16 - reference_step_side16) / nullif(8 * side16_count, 0)
            - ({{ path }}_step_inside - reference_step_inside) / 112
            as {{ fixed() }}
        ) as d_block16_{{ path }},
        cast(
            ({{ path }}_step_middle - reference_step_middle) / 16
            - (
                ({{ path }}_step_inside - {{ path }}_step_middle)
                - (reference_step_inside - reference_step_middle)
            ) / 96
            as {{ fixed() }}
        ) as d_block4_{{ path }},
        cast({{ path }}_local_ssim as {{ fixed() }}) as local_ssim_{{ path }},
        mse_dn2_{{ path }},
        cast(up_to_invention_{{ path }} - up_to_shift_{{ path }} as {{ fixed_dn2() }})
            as invented_dn2_{{ path }},
        cast(mse_dn2_{{ path }} - up_to_excess_{{ path }} as {{ fixed_dn2() }})
            as lost_dn2_{{ path }},
        cast(up_to_excess_{{ path }} - up_to_invention_{{ path }} as {{ fixed_dn2() }})
            as exaggerated_dn2_{{ path }},
        -- Where SSIM is blind and why (definitions E.2, [OWN]); 1 - l is shift_sq / level_sq.
        {{ silent_factor() }} * (reference_spread + {{ path }}_spread) <= 4096 * {{ ssim_c2() }}
            as is_silent_{{ path }},
        reference_spread + {{ path }}_spread > 4096 * {{ ssim_c2() }} as is_textured_{{ path }},
        case
            when reference_sum * reference_sum
                < {{ constant('dark_factor') }} * 4096 * {{ ssim_c1() }}
                then {{ 100 // constant('lum_over_pct') }} * {{ path }}_shift_sq
                    > {{ path }}_level_sq
            when {{ path }}_sum is not null then false
        end as is_lum_over_{{ path }},
        {{ path }}_shift_sq >= {{ (64 * constant('lum_under_dn')) ** 2 }}
        and {{ 100 // constant('lum_under_pct') }} * {{ path }}_shift_sq <= {{ path }}_level_sq
            as is_lum_under_{{ path }},
        -- What the block says of the LR image (definitions E.9); NULL where nothing is known of it.
        cast({{ path }}_lr_usable as smallint) as lr_judged_px_{{ path }},
        case when {{ path }}_lr_usable > 0 then cast({{ path }}_lr_contradicted as smallint) end
            as lr_contradicted_px_{{ path }},
        cast(sqrt({{ path }}_lr_square / nullif({{ path }}_lr_usable, 0)) as {{ fixed() }})
            as lr_rms_dn_{{ path }},
        {%- for kind, sql in lr_kinds(path).items() %}
        cast(({{ sql }}) / 64 as {{ fixed_dn2() }}) as lr_{{ kind }}_dn2_{{ path }},
        {%- endfor %}
        case
            when reference_null_energy > 0 and {{ path }}_null_energy > 0
                then cast(
                    greatest(-1, least(1,
                        {{ path }}_null_product
                        / sqrt(reference_null_energy * {{ path }}_null_energy)
                    ))
                    as {{ fixed() }}
                )
        end as null_correlation_{{ path }},
        {{ path }}_lr_clamped as lr_clamped_{{ path }},
        {{ path }}_lr_sum as lr_sum_{{ path }},
        {{ path }}_lr_largest as lr_largest_{{ path }},
        {{ path }}_lr_square as lr_square_{{ path }},
        {{ path }}_null_energy as null_energy_{{ path }},
        {{ path }}_null_product as null_product_{{ path }}
        {%- endfor %}
    from ledgers

)

select * from final
