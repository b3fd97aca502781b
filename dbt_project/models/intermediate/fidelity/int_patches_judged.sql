{#- The ends of agreement of a patch at each threshold, and whether they lie below what the LR image
    could hold. A float is held against a float. -#}
{%- set ends = {constant('frc_low'): 'frc50_end', constant('frc_high'): 'frc75_end'} -%}
with patches as (

    select * from {{ ref('stg_raw__patches') }}

),

final as (

    {%- for threshold, frequency in ends.items() %}
    select
        model_id,
        inference_path,
        image_id,
        cast(patch_px as integer) as patch_px,
        patch_row,
        patch_col,
        cast({{ threshold }} as double) as frc_threshold,
        lr_nyquist,
        {{ frequency }} as agreement_end,
        {{ frequency }} < cast(lr_nyquist as float) as ends_early
    from patches
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from final
