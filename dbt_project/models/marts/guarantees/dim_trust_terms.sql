{#- The vocabulary of mart_guarantee, as its macros have it. -#}
with final as (

    select *
    from (values
        {%- for name, score in trust_scores('notta').items() %}
        (
            '{{ name }}', 'score', '{{ score.unit }}', 'above', '{{ score.label }}',
            '{{ score.says }}'
        ),
        {%- endfor %}
        {%- for name, loss in trust_losses('notta').items() %}
        ('{{ name }}', 'loss', null, null, '{{ name }}', '{{ loss.says }}')
        {{- ',' if not loop.last }}
        {%- endfor %}
    ) as named (term, kind, unit, masked_side, label, says)

)

select * from final
