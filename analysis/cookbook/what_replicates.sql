-- What does this study say of each published claim? The claims' words stand in docs/replication.md;
-- `upscale-audit replication` puts both side by side. Shares have an interval where their table has
-- one. A claim of which nothing here can be said has a row without a value, or none.
-- One row per claim x quantity x source x model.
with blocks as (

    select
        'blocks an image' as claim,
        'measured blocks an image' as quantity,
        'images' as source_id,
        model_id,
        measured_block_count / nullif(measured_image_count, 0) as value,
        cast(null as double) as low,
        cast(null as double) as high,
        measured_image_count || ' images, ' || measured_block_count || ' of '
        || expected_block_count || ' blocks' as remark
    from mart_coverage
    where inference_path = 'notta'

),

nulls as (

    select
        'records without values',
        'blocks whose state is not known',
        'images',
        model_id,
        cast(coalesce(sum(block_count) filter (where outcome != 'evaluated'), 0) as double),
        null,
        null,
        'of ' || sum(block_count)
        || coalesce(': ' || string_agg(outcome, ', ' order by outcome)
            filter (where outcome != 'evaluated'), '')
    from mart_tier3_coverage
    where indicator = 'axis' and judged_paths = 'both'
    group by model_id

),

axis_types as (

    select
        'types by architecture',
        'sharpness gained where Axis1 > 0',
        'images',
        model_id,
        positive_sharpness,
        positive_sharpness_low,
        positive_sharpness_high,
        axis1_type || ': ' || reason
    from mart_axis1_types

),

choices as (

    select
        'types by architecture',
        'choices of the axis that say A or B',
        'images',
        model_id,
        cast(count(*) filter (where axis1_type in ('A', 'B')) as double),
        null,
        null,
        'of ' || count(*) filter (where axis1_type != 'not identifiable') || ': '
        || count(*) filter (where axis1_type = 'A') || ' A, '
        || count(*) filter (where axis1_type = 'B') || ' B; by contrasts alone '
        || count(*) filter (where contrast_type = 'A') || ' A, '
        || count(*) filter (where contrast_type = 'B') || ' B'
    from mart_axis1_multiverse
    where axis_sign = 'anchored' or is_turned
    group by model_id

),

polarity as (

    select
        'polarity',
        'share of blocks with Axis1 > 0',
        'images',
        model_id,
        positive_count / nullif(positive_count + negative_count, 0),
        null,
        null,
        'of ' || positive_count + negative_count || ' blocks off 0'
    from mart_axis1_types

),

states as (

    select
        'four states',
        'share of blocks judged, beyond the limit of ' || indicator,
        'images',
        model_id,
        cast(sum(block_count) as double) / nullif(any_value(judged_count), 0),
        null,
        null,
        string_agg(
            state || ' ' || coalesce(cast(round(state_count / judged_count, 4) as varchar), 'none'),
            ', ' order by state
        )
    from (
        select
            model_id,
            indicator,
            state,
            sum(block_count) as block_count,
            cast(sum(block_count) as double) as state_count,
            nullif(sum(sum(block_count)) over (partition by model_id, indicator), 0) as judged_count
        from mart_tier3_states
        where judged_paths = 'both' and indicator in ('axis', 'error')
        group by model_id, indicator, state
    ) as counted
    group by model_id, indicator

),

silent as (

    select
        'silent among hidden persistent',
        'silent share, beyond the limit of ' || indicator,
        'images',
        model_id,
        silent_ratio,
        silent_low_ratio,
        silent_high_ratio,
        'of ' || block_count || ' blocks; of all hidden blocks '
        || coalesce(cast(round(zone_silent_ratio, 4) as varchar), 'none')
        || '; the loudest reaches ' || coalesce(cast(round(loud_most, 2) as varchar), 'none')
        || ' of ' || coalesce(cast(round(indicator_limit, 2) as varchar), 'none')
    from mart_tier3_states
    where zone = 'hidden' and state = 'Persistent' and indicator in ('axis', 'error')

),

lfv_texture as (

    select
        'texture dependence',
        'correlation of texture and worst block SSIM',
        source_id,
        model_id,
        correlation_texture_localmin,
        correlation_low,
        correlation_high,
        texture_dependency_strength || ' as published; shown: '
        || coalesce(texture_strength_shown, 'not known')
    from mart_lfv_proof
    where inference_path != 'tta'

),

lfv_cases as (

    select
        'a quarter are cases',
        'share of images that are cases, %',
        source_id,
        model_id,
        lfv_cases_pct,
        null,
        null,
        lfv_cases_count || ' of ' || image_count || ' images'
    from mart_lfv_proof
    where inference_path != 'tta' and population = 'pooled'

),

lfv_places as (

    select
        'boundary bias',
        'boundary bias index less chance',
        source_id,
        model_id,
        centred_boundary_bias_index,
        centred_boundary_bias_index_low,
        centred_boundary_bias_index_high,
        round(boundary_bias_index, 4) || ' as published, ' || round(null_boundary_bias_index, 4)
        || ' by chance; outermost ring ' || frame_count || ' of ' || located_count
    from mart_lfv_proof
    where inference_path != 'tta'

),

rules as (

    select
        'rules of the published file',
        'rows whose class is as ' || rule_set || ' says',
        source_id,
        'all',
        cast(equal_confidence_count as double),
        null,
        null,
        'of ' || flagged_row_count || ' that carry one; ' || row_count || ' rows'
    from mart_published_agreement

),

classes as (

    select
        'rules flag suspects',
        'share of images on which a rule fires',
        source_id,
        model_id,
        cast(count(*) filter (where detection_count > 0) as double)
        / nullif(count(detection_count), 0),
        null,
        null,
        'of ' || count(detection_count) || '; thresholds are quantiles of these images'
    from fct_verdicts
    where rule_set = 'v2_current' and population = 'pooled' and inference_path != 'tta'
    group by source_id, model_id

),

clean as (

    select
        'clean pairs of 300 images',
        'images on which no rule fires',
        source_id,
        model_id,
        cast(count(*) filter (where confidence = 'Normal') as double),
        null,
        null,
        'of ' || count(confidence)
    from fct_verdicts
    where rule_set = 'gui_clean' and population = 'pooled' and inference_path != 'tta'
    group by source_id, model_id

),

final as (

    select * from blocks
    union all
    select * from nulls
    union all
    select * from axis_types
    union all
    select * from choices
    union all
    select * from polarity
    union all
    select * from states
    union all
    select * from silent
    union all
    select * from lfv_texture
    union all
    select * from lfv_cases
    union all
    select * from lfv_places
    union all
    select * from rules
    union all
    select * from classes
    union all
    select * from clean

)

select * from final
order by claim, quantity, source_id, model_id
