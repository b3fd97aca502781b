{{ config(materialized='view') }}

{#- The features of phi6 and the signed ones (definitions E.3, E.10), and the components that types
    of the axis judge, of every block that was measured under notta. Spread and joint are variance
    and covariance times 4096, exact, as in int_blocks_featured. Not yet rounded: who reads it takes
    six decimals of each, as DECIMAL or as double, whichever costs it less. -#}
with blocks as (

    select * from {{ ref('stg_raw__every_blocks') }}

),

spreads as (

    select
        *,
        64 * notta_cross - reference_sum * notta_sum as notta_joint,
        reference_sum * reference_sum + notta_sum * notta_sum + 4096 * {{ ssim_c1() }}
            as notta_level_sq
        {%- for image in ['reference', 'notta'] %},
        64 * {{ image }}_sum_sq - {{ image }}_sum * {{ image }}_sum as {{ image }}_spread
        {%- endfor %}
    from blocks
    where notta_sum is not null

),

energies as (

    select
        *,
        sqrt(reference_spread * notta_spread) as root
        {%- for image in ['reference', 'notta'] %},
        16 * {{ image }}_detail2 as energy_2_{{ image }},
        4 * {{ image }}_detail4 as energy_4_{{ image }},
        {{ image }}_spread - 16 * {{ image }}_detail2 - 4 * {{ image }}_detail4
            as energy_8_{{ image }}
        {%- endfor %}
    from spreads

),

final as (

    select
        model_id,
        image_id,
        is_added
        {%- for name, sql in signed_features('notta').items() %},
        {{ sql }} as phi_{{ name }}
        {%- endfor %},
        -- 0 for a perfect block, whose joint is its root.
        sqrt(greatest(
            0,
            1 - (notta_joint + 2048 * {{ ssim_c2() }}) / (root + 2048 * {{ ssim_c2() }})
        )) as phi_structure,
        case
            when root > 0 then 1 - notta_joint / root
            when reference_spread = notta_spread then 0
            else 1
        end as phi_decorrelation,
        ln(notta_spread + 4096 * {{ rounding_variance() }})
        - ln(reference_spread + 4096 * {{ rounding_variance() }}) as phi_gain,
        ln(reference_spread + notta_spread - 2 * notta_joint + 4096 * {{ rounding_variance() }})
        - ln(reference_spread + 4096 * {{ rounding_variance() }}) as phi_error
        {%- for name, sql in judged_components('notta').items() %},
        {{ sql }} as d_{{ name }}
        {%- endfor %}
    from energies

)

select * from final
