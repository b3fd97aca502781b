{{ config(materialized='view') }}

{#- Sums over the 64 pixels give population moments as exact integers: the spread
    64 sum(x^2) - sum(x)^2 is the variance times 4096. -#}
with blocks as (

    select * from {{ ref('stg_raw__blocks') }}

),

spreads as (

    select
        *,
        64 * reference_sum_sq - reference_sum * reference_sum as reference_spread
        {%- for path in inference_paths() %},
        64 * {{ path }}_sum_sq - {{ path }}_sum * {{ path }}_sum as {{ path }}_spread,
        64 * {{ path }}_cross - reference_sum * {{ path }}_sum as {{ path }}_joint
        {%- endfor %}
    from blocks

),

roots as (

    select
        *
        {%- for path in inference_paths() %},
        sqrt(cast(reference_spread as double) * {{ path }}_spread) as {{ path }}_root,
        reference_spread + {{ path }}_spread - 2 * {{ path }}_joint as {{ path }}_error_spread,
        ({{ path }}_sum - reference_sum) * ({{ path }}_sum - reference_sum) as {{ path }}_shift_sq,
        reference_sum * reference_sum + {{ path }}_sum * {{ path }}_sum
        + 4096 * {{ ssim_c1() }} as {{ path }}_level_sq
        {%- endfor %}
    from spreads

),

final as (

    select
        model_id,
        image_id,
        block_row,
        block_col,
        is_partial
        {%- for path in inference_paths() %},
        -- The feature space Phi6 (definitions E.3, [OWN]): all zero for a perfect block, save
        -- the last, which is zero where the error has as much energy as the signal.
        cast(
            ({{ path }}_sum - reference_sum) / sqrt({{ path }}_level_sq)
            as {{ fixed() }}
        ) as phi_luminance_{{ path }},
        cast(
            (sqrt({{ path }}_spread) - sqrt(reference_spread))
            / sqrt(reference_spread + {{ path }}_spread + 4096 * {{ ssim_c2() }})
            as {{ fixed() }}
        ) as phi_contrast_{{ path }},
        cast(
            sqrt(greatest(
                0,
                1 - ({{ path }}_joint + 2048 * {{ ssim_c2() }})
                / ({{ path }}_root + 2048 * {{ ssim_c2() }})
            ))
            as {{ fixed() }}
        ) as phi_structure_{{ path }},
        cast(
            case
                when {{ path }}_root > 0 then 1 - {{ path }}_joint / {{ path }}_root
                when reference_spread = {{ path }}_spread then 0
                when {{ path }}_root = 0 then 1
            end
            as {{ fixed() }}
        ) as phi_decorrelation_{{ path }},
        cast(
            ln(
                ({{ path }}_spread + 4096 * {{ rounding_variance() }})
                / (reference_spread + 4096 * {{ rounding_variance() }})
            )
            as {{ fixed() }}
        ) as phi_gain_{{ path }},
        cast(
            ln(
                ({{ path }}_error_spread + 4096 * {{ rounding_variance() }})
                / (reference_spread + 4096 * {{ rounding_variance() }})
            )
            as {{ fixed() }}
        ) as phi_error_{{ path }},
        -- The direction components (definitions E.5, [OWN]): restored minus reference.
        cast(
            ln(({{ path }}_laplacian / 4096 + 1) / (reference_laplacian / 4096 + 1))
            as {{ fixed() }}
        ) as d_sharp_{{ path }},
        cast(
            ln(({{ path }}_detail4 / 1024 + 1) / (reference_detail4 / 1024 + 1)) as {{ fixed() }}
        ) as d_texture_{{ path }},
        cast(
            ln(({{ path }}_detail2 / 256 + 1) / (reference_detail2 / 256 + 1)) as {{ fixed() }}
        ) as d_hf_{{ path }},
        cast(
            sqrt(pi() / 2) / 6 * ({{ path }}_noise - reference_noise) / 64 as {{ fixed() }}
        ) as d_noise_{{ path }},
        cast(
            ({{ path }}_step_side - reference_step_side) / nullif(8 * side_count, 0)
            - ({{ path }}_step_inside - reference_step_inside) / 112
            as {{ fixed() }}
        ) as d_block_{{ path }},
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
        cast(
            case
                when ringing_px >= {{ var('ringing_min_px') }}
                    then sqrt({{ path }}_ringing / ringing_px)
            end
            as {{ fixed() }}
        ) as d_ring_{{ path }},
        cast(({{ path }}_sum - reference_sum) / 64 as {{ fixed() }}) as d_mu_{{ path }},
        cast({{ path }}_local_ssim as {{ fixed() }}) as local_ssim_{{ path }},
        -- A sixty-fourth of an integer has six decimals: exact.
        cast(
            (reference_sum_sq + {{ path }}_sum_sq - 2 * {{ path }}_cross) / 64 as {{ fixed_dn2() }}
        ) as mse_dn2_{{ path }},
        -- Where SSIM is blind and why (definitions E.2, [OWN]); 1 - l is shift_sq / level_sq.
        19 * (reference_spread + {{ path }}_spread) <= 4096 * {{ ssim_c2() }}
            as is_silent_{{ path }},
        reference_spread + {{ path }}_spread > 4096 * {{ ssim_c2() }} as is_textured_{{ path }},
        case
            when reference_sum * reference_sum < 10 * 4096 * {{ ssim_c1() }}
                then 20 * {{ path }}_shift_sq > {{ path }}_level_sq
            when {{ path }}_sum is not null then false
        end as is_lum_over_{{ path }},
        {{ path }}_shift_sq >= 320 * 320
        and 100 * {{ path }}_shift_sq <= {{ path }}_level_sq as is_lum_under_{{ path }}
        {%- endfor %}
    from roots

)

select * from final
