{#- Counts and labels in the published order and wording. The published programs count rules that
    fired; a rule that could not be evaluated did not, and `evaluated_count` says how many could
    be. -#}
{%- set spellings = {
    'detected_patterns': 'label',
    'detected_patterns_ja': 'label_ja',
    'detected_patterns_en': 'label_en',
} -%}
with flags as (

    select * from {{ ref('fct_rule_flags') }}

),

rules as (

    select * from {{ ref('rules') }}

),

classes as (

    select * from {{ ref('dim_confidence_classes') }}

),

counted as (

    select
        flags.rule_set,
        flags.population,
        flags.source_id,
        flags.model_id,
        flags.inference_path,
        flags.image_id,
        count(flags.is_flagged) as evaluated_count,
        count(*) filter (where flags.is_flagged) as detection_count
        {%- for column, label in spellings.items() %},
        string_agg(rules.{{ label }}, ', ' order by rules.rule_number)
            filter (where flags.is_flagged) as {{ column }}
        {%- endfor %}
    from flags
    inner join rules
        on flags.rule_set = rules.rule_set
        and flags.rule_id = rules.rule_id
    group by
        flags.rule_set,
        flags.population,
        flags.source_id,
        flags.model_id,
        flags.inference_path,
        flags.image_id

),

classed as (

    select
        rule_set,
        population,
        source_id,
        model_id,
        inference_path,
        image_id,
        case
            when evaluated_count = 0 then null
            when detection_count >= {{ constant('verdict_high') }} then 'High'
            when detection_count >= {{ constant('verdict_medium') }} then 'Medium'
            when detection_count >= {{ constant('verdict_low') }} then 'Low'
            else 'Normal'
        end as confidence,
        case when evaluated_count > 0 then detection_count end as detection_count,
        evaluated_count
        {%- for column in spellings %},
        case when evaluated_count > 0 then coalesce({{ column }}, 'None') end as {{ column }}
        {%- endfor %}
    from counted

),

final as (

    select
        classed.rule_set,
        classed.population,
        classed.source_id,
        classed.model_id,
        classed.inference_path,
        classed.image_id,
        classed.confidence,
        classes.advice,
        classed.detection_count,
        classed.evaluated_count
        {%- for column in spellings %},
        classed.{{ column }}
        {%- endfor %}
    from classed
    left join classes on classed.confidence = classes.confidence

)

select * from final
