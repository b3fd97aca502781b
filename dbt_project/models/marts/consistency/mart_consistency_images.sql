{#- Every measured image of a study, also where nothing is known of its LR image: then the status
    says why, and the rest is NULL. -#}
with sums as (

    select * from {{ ref('int_image_consistency') }}

),

images as (

    select * from {{ ref('stg_raw__images') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

final as (

    select
        sums.model_id,
        sums.inference_path,
        sums.image_id,
        clusters.cluster_id,
        images.lr_rule_status,
        images.lr_rule,
        images.lr_scale,
        case when sums.judged_px is not null then sums.judged_block_count end
            as judged_block_count,
        case when sums.judged_px is not null then sums.contradicted_block_count end
            as contradicted_block_count,
        sums.judged_px,
        case when sums.judged_px is not null then images.lr_border_px end as border_px,
        sums.clamped_px,
        coalesce(sums.contradicted_px, case when sums.judged_px = 0 then 0 end)
            as contradicted_px,
        cast(sums.residual_largest as double) / images.lr_unit as largest_dn,
        case when sums.judged_px is not null then cast(images.lr_bound as double) end
        / images.lr_unit as bound_dn,
        cast(sums.residual_sum as double) / images.lr_unit / nullif(sums.judged_px, 0)
            as mean_residual_dn,
        sqrt(cast(sums.residual_squares as double) / nullif(sums.judged_px, 0)) as rms_dn,
        cast(sums.mse_dn2 as double) / nullif(sums.split_block_count, 0) as mse_dn2
        {%- for kind in lr_kinds('notta') %},
        cast(sums.{{ kind }}_dn2 as double) / nullif(sums.split_block_count, 0)
            as {{ kind }}_dn2
        {%- endfor %},
        cast(sums.bent_dn2 as double) / nullif(cast(sums.mse_dn2 as double), 0) as bent_ratio,
        -- least and greatest skip NULL.
        case
            when sums.reference_null_energy > 0 and sums.null_energy > 0
                then greatest(-1, least(1, cast(sums.null_product as double) / (
                    sqrt(cast(sums.reference_null_energy as double))
                    * sqrt(cast(sums.null_energy as double))
                )))
        end as null_correlation
    from sums
    inner join images on sums.image_id = images.image_id
    inner join clusters on sums.image_id = clusters.image_id
    where images.lr_rule_status is not null

)

select * from final
