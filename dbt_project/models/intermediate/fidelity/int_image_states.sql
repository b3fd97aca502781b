{#- An input of the state that is absent: block SSIM of a path, or what the indicator reads. -#}
with counts as (

    select * from {{ ref('int_tier3_counts') }}

),

final as (

    {%- for name, indicator in tier3_indicators('').items() %}
    {%- for paths, there, judged in [
        ('both', 'zone is not null and has_tta', 'state_' ~ name),
        ('notta', 'zone is not null', indicator.flag ~ '_notta'),
    ] %}
    select
        model_id,
        image_id,
        '{{ name }}' as indicator,
        '{{ paths }}' as judged_paths,
        cast(sum(block_count) as bigint) as block_count,
        cast(coalesce(sum(block_count) filter (where is_partial), 0) as bigint) as partial_count,
        cast(
            coalesce(sum(block_count) filter (where {{ there }} and {{ judged }} is null), 0)
            as bigint
        ) as unscored_count,
        cast(
            coalesce(sum(block_count) filter (where {{ there }} and {{ judged }} is not null), 0)
            as bigint
        ) as evaluated_count
    from counts
    group by model_id, image_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

)

select * from final
