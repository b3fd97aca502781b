{#- How often each rule fires in copies with one condition and where nothing was drawn, and how many
    independent images would say as much (macros/shares.sql). `any` is at least one rule of its set,
    `high` five or more. -#}
{%- set groups = [
    'rule_set', 'population', 'model_id', 'inference_path', 'arm', 'kind', 'contrast_dn', 'rule_id',
] -%}
with drawn as (

    select * from {{ ref('int_drawn_images') }}

),

flags as (

    select * from {{ ref('fct_rule_flags') }}
    where
        source_id = 'images'
        and image_id in (select image_id from drawn)

),

verdicts as (

    select * from {{ ref('fct_verdicts') }}
    where
        source_id = 'images'
        and image_id in (select image_id from drawn)

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

said as (

    select
        rule_set,
        population,
        model_id,
        inference_path,
        image_id,
        rule_id,
        is_flagged
    from flags
    union all
    select
        verdicts.rule_set,
        verdicts.population,
        verdicts.model_id,
        verdicts.inference_path,
        verdicts.image_id,
        classes.rule_id,
        case
            when verdicts.evaluated_count > 0
                then verdicts.detection_count >= classes.least_count
        end as is_flagged
    from verdicts
    cross join (
        values ('any', {{ constant('verdict_low') }}), ('high', {{ constant('verdict_high') }})
    ) as classes (rule_id, least_count)

),

clustered as (

    select
        said.rule_set,
        said.population,
        said.model_id,
        said.inference_path,
        drawn.arm,
        drawn.kind,
        drawn.contrast_dn,
        said.rule_id,
        clusters.cluster_id,
        clusters.cluster_unit,
        count(said.is_flagged) as evaluated_count,
        count(*) filter (where said.is_flagged) as flagged_count
    from said
    inner join drawn
        on said.model_id = drawn.model_id
        and said.inference_path = drawn.inference_path
        and said.image_id = drawn.image_id
    inner join clusters on drawn.source_image_id = clusters.image_id
    group by
        said.rule_set, said.population, said.model_id, said.inference_path, drawn.arm, drawn.kind,
        drawn.contrast_dn, said.rule_id, clusters.cluster_id, clusters.cluster_unit

),

summed as (

    select
        {{ groups | join(', ') }},
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        {{ share_sums('evaluated_count', 'flagged_count') }}
    from clustered
    group by {{ groups | join(', ') }}

),

{{ sized_shares() }}

select * from final
