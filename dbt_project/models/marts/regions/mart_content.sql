with estimates as (

    select * from {{ ref('int_area_estimates') }}
    where area_kind = 'content'

),

deciles as (

    select * from {{ ref('int_image_deciles') }}

),

-- Means of the limits that cut each reference: exact sums, divided once.
limits as (

    select
        model_id
        {%- for number in range(1, 10) %},
        cast(sum(limit_{{ number }}_dn2) as double) / count(*) as limit_{{ number }}_dn2
        {%- endfor %}
    from deciles
    group by model_id

),

measured as (

    {{ area_measured('estimates') }}

),

final as (

    select
        measured.model_id,
        measured.inference_path,
        measured.area_code as decile,
        measured.quantity,
        case measured.area_code
            {%- for number in range(1, 10) %}
            when {{ number + 1 }} then limits.limit_{{ number }}_dn2
            {%- endfor %}
        end as variance_above_dn2,
        case measured.area_code
            {%- for number in range(1, 10) %}
            when {{ number }} then limits.limit_{{ number }}_dn2
            {%- endfor %}
        end as variance_up_to_dn2,
        {{ area_items('measured') }}
    from measured
    inner join limits on measured.model_id = limits.model_id

)

select * from final
