{#- How many independent blocks would say as much of a share as those of the study's patients
    (macros/shares.sql). -#}
with cells as (

    select * from {{ ref('int_tier3_cells') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

summed as (

    {%- for share, (part, whole) in tier3_shares().items() %}
    select
        model_id,
        indicator,
        judged_paths,
        zone,
        state,
        '{{ share }}' as share,
        {{ share_sums(whole, part) }}
    from cells
    group by model_id, indicator, judged_paths, zone, state
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

{{ sized_shares() }}

select * from final
