{#- What scores a model's blocks under each choice, as columns. 0 where there is no such axis. -#}
{%- set axes = choice_axes() -%}
with axes as (

    select * from {{ ref('int_choice_axes') }}

),

final as (

    select
        model_id
        {%- for axis in axes %}
        {%- set condition -%}
            feature_space = '{{ axis.space }}' and is_scaled = {{ axis.is_scaled }}
            and basis = '{{ axis.basis }}'
        {%- endset %}
        {%- for name in axis.features %},
        coalesce(max(weights[{{ loop.index }}]) filter (where {{ condition }}), 0)
            as weight_{{ axis.name }}_{{ name }}
        {%- endfor %},
        coalesce(max(centre) filter (where {{ condition }}), 0) as centre_{{ axis.name }}
        {%- endfor %}
    from axes
    group by model_id

)

select * from final
