{%- set unproved = "'refuted', 'unknown', 'missing', 'rejected', 'unfit'" -%}
{%- set is_sparse = "lr_rule = 'opencv_cubic' and lr_scale > 2"
    ~ " and lr_rule_status in ('verified', 'unverified')" -%}
{#- What ingest found in the files, and what only the build can know. -#}
with found as (

    select * from {{ ref('stg_raw__warnings') }}

),

coverage as (

    select * from {{ ref('mart_coverage') }}

),

rejects as (

    select * from {{ ref('mart_rejects') }}
    where reason <> 'other_file'

),

images as (

    select * from {{ ref('dim_images') }}

),

study as (

    select * from {{ ref('dim_study') }}

),

metrics as (

    select * from {{ ref('mart_metric_availability') }}

),

injections as (

    select * from {{ ref('stg_raw__injections') }}

),

missing as (

    select
        'missing' as warning,
        model_id || ' (' || inference_path || ')' as subject,
        '' as other,
        model_id,
        inference_path,
        missing_image_count as item_count,
        image_count as total_count,
        cast(null as varchar) as example,
        model_id || ' (' || inference_path || '): ' || missing_image_count || ' of ' || image_count
        || ' images are missing; its tables are of the rest' as sentence
    from coverage
    where missing_image_count > 0

),

refused as (

    select
        'refused' as warning,
        reason as subject,
        '' as other,
        cast(null as varchar) as model_id,
        cast(null as varchar) as inference_path,
        count(*) as item_count,
        count(*) as total_count,
        min(file_name) as example,
        count(*) || case when count(*) = 1 then ' file is' else ' files are' end
        || ' refused (' || reason || '; ' || min(file_name)
        || '); mart_rejects says what is wrong with each' as sentence
    from rejects
    group by reason

),

contradicting as (

    select
        'lr_rule' as warning,
        'reference' as subject,
        '' as other,
        cast(null as varchar) as model_id,
        cast(null as varchar) as inference_path,
        count(*) filter (where lr_rule_status in ({{ unproved }})) as item_count,
        count(*) as total_count,
        min(image_id) filter (where lr_rule_status in ({{ unproved }})) as example,
        count(*) filter (where lr_rule_status in ({{ unproved }})) || ' of ' || count(*)
        || ' LR images are not shown to be made of their references ('
        || min(image_id) filter (where lr_rule_status in ({{ unproved }}))
        || '); dim_images.lr_detail says why' as sentence
    from images
    where lr_rule_status is not null
    having count(*) filter (where lr_rule_status in ({{ unproved }})) > 0

),

-- Its taps fall on single pixels or not on all alike: a constant is not wholly seen.
sparse as (

    select
        'lr_split' as warning,
        'reference' as subject,
        '' as other,
        cast(null as varchar) as model_id,
        cast(null as varchar) as inference_path,
        count(*) filter (where {{ is_sparse }}) as item_count,
        count(*) as total_count,
        min(image_id) filter (where {{ is_sparse }}) as example,
        count(*) filter (where {{ is_sparse }}) || ' of ' || count(*)
        || ' images are held against LR images of opencv_cubic at 1/3 or 1/4 ('
        || min(image_id) filter (where {{ is_sparse }})
        || '), which does not read all pixels alike: what is contradicted holds, how the rest'
        || ' divides into bent, invented, lost and amplified says little' as sentence
    from images
    having count(*) filter (where {{ is_sparse }}) > 0

),

few as (

    select
        'few_clusters' as warning,
        {{ cluster_unit('cluster_unit') }} as subject,
        '' as other,
        cast(null as varchar) as model_id,
        cast(null as varchar) as inference_path,
        count(distinct cluster_id) as item_count,
        count(distinct cluster_id) as total_count,
        cast(null as varchar) as example,
        'what is independent here is ' || count(distinct cluster_id) || ' '
        || case {{ cluster_unit('cluster_unit') }}
            when 'mixed' then 'patients, or images whose patient is not known'
            else max(cluster_unit) || case when count(distinct cluster_id) = 1 then '' else 's' end
        end
        || ': below ' || {{ var('min_clusters') }} || ' no table has an interval, below '
        || {{ constant('least_tested') }} || ' no difference of models is tested' as sentence
    from images
    having count(*) > 0 and count(distinct cluster_id) < {{ constant('least_tested') }}

),

foreign_axis as (

    select
        'axis_alignment' as warning,
        axis_basis as subject,
        '' as other,
        cast(null as varchar) as model_id,
        cast(null as varchar) as inference_path,
        cast(1 as bigint) as item_count,
        cast(1 as bigint) as total_count,
        cast(null as varchar) as example,
        'the axis ' || axis_basis || ' is not this study''s: |cos| '
        || printf('%.2f', axis_alignment) || ', below '
        || {{ constant('minimum_alignment') }} || ' (mart_pca_basis)' as sentence
    from study
    where axis_alignment < {{ constant('minimum_alignment') }}

),

impossible as (

    select
        'outside_range' as warning,
        source_id as subject,
        metric as other,
        cast(null as varchar) as model_id,
        cast(null as varchar) as inference_path,
        outside_count as item_count,
        image_count as total_count,
        cast(null as varchar) as example,
        source_id || ': ' || outside_count || ' of ' || image_count || ' published values of '
        || metric || ' are none that it can have (dim_metrics); kept as they stand' as sentence
    from metrics
    where outside_count > 0 and source_id <> 'images'

),

drawn as (

    select image_id
    from injections
    where energy_dn2 > 0
    group by image_id

),

-- What was drawn on purpose is in every mean and rate, and among the worst blocks.
phantoms as (

    select
        'phantoms' as warning,
        'phantoms' as subject,
        '' as other,
        cast(null as varchar) as model_id,
        cast(null as varchar) as inference_path,
        count(drawn.image_id) as item_count,
        count(*) as total_count,
        min(drawn.image_id) as example,
        count(drawn.image_id) || ' of ' || count(*) || ' images are copies that upscale-audit'
        || ' phantom drew known things into (' || min(drawn.image_id)
        || '): tables that every study has, and their worst blocks, say nothing of an upscaler;'
        || ' mart_detectors and those beside it say what numbers find' as sentence
    from images
    left join drawn on images.image_id = drawn.image_id
    having count(drawn.image_id) > 0

),

final as (

    select * from found
    union all
    select * from missing
    union all
    select * from refused
    union all
    select * from contradicting
    union all
    select * from sparse
    union all
    select * from few
    union all
    select * from foreign_axis
    union all
    select * from impossible
    union all
    select * from phantoms

)

select * from final
