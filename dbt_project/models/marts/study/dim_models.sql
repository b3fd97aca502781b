with pairs as (

    select * from {{ ref('stg_raw__pairs') }}

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

),

facts as (

    select * from {{ ref('stg_raw__model_facts') }}

),

counted as (

    select
        model_id,
        bool_or(inference_path = 'tta' and status != 'not_declared') as has_tta,
        count(*) filter (where inference_path = 'notta' and status = 'measured')
            as notta_image_count,
        count(*) filter (where inference_path = 'tta' and status = 'measured') as tta_image_count
    from pairs
    group by model_id

),

final as (

    select
        counted.model_id,
        facts.model_number,
        facts.label,
        facts.colour,
        facts.family,
        facts.architecture,
        facts.restorer_kind,
        facts.lr_rule,
        counted.model_id = parameters.baseline_model as is_baseline,
        counted.has_tta,
        {{ is_control('counted.model_id') }} as is_control,
        facts.scale,
        cast({{ declared_tile('counted.model_id') }} as integer) as tile_px,
        counted.notta_image_count,
        counted.tta_image_count,
        facts.weights_sha256,
        facts.weights_url,
        facts.stated_columns,
        facts.recorded_columns
    from counted
    -- A model without facts fails the contract.
    left join facts on counted.model_id = facts.model_id
    cross join parameters

)

select * from final
