{#- The ledger of int_image_ledgers by kind, in dn2 a pixel, beside what the baseline's notta images
    have of the same kind, over the images that both restored. -#}
with images as (

    select * from {{ ref('int_image_ledgers') }}

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

draws as (

    select * from {{ ref('int_cluster_draws') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

-- Whatever was neither invented nor exaggerated is lost: the kinds add up exactly.
kinds as (

    {%- for kind, sql in {
        'invented': 'invented',
        'lost': 'error - invented - exaggerated',
        'exaggerated': 'exaggerated',
        'shifted': 'shifted',
    }.items() %}
    select
        model_id,
        image_id,
        inference_path,
        scale_px,
        '{{ kind }}' as kind,
        pixel_count,
        reference_energy,
        product,
        {{ sql }} as energy
    from images
    {%- if kind == 'shifted' %}
    where shifted is not null
    {%- else %}
    union all
    {%- endif %}
    {%- endfor %}

),

compared as (

    select
        kinds.*,
        clusters.cluster_id,
        clusters.cluster_unit,
        baseline.energy as baseline_energy,
        kinds.energy - baseline.energy as excess,
        case when baseline.energy is not null then kinds.pixel_count end as compared_pixel_count
    from kinds
    inner join clusters on kinds.image_id = clusters.image_id
    left join kinds as baseline
        on baseline.model_id
        = (select baseline_model from parameters)
        and baseline.inference_path = 'notta'
        and kinds.image_id = baseline.image_id
        and kinds.scale_px = baseline.scale_px
        and kinds.kind = baseline.kind

),

clustered as (

    select
        model_id,
        inference_path,
        scale_px,
        kind,
        cluster_id,
        cluster_unit,
        count(*) as image_count,
        sum(pixel_count) as pixel_count,
        sum(compared_pixel_count) as compared_pixel_count,
        sum(reference_energy) as reference_energy,
        sum(product) as product,
        sum(energy) as energy,
        sum(baseline_energy) as baseline_energy,
        sum(excess) as excess
    from compared
    group by model_id, inference_path, scale_px, kind, cluster_id, cluster_unit

),

replicates as (

    {{ resampled(['model_id', 'inference_path', 'scale_px', 'kind'], {
        'energy': ['energy', 'pixel_count'],
        'excess': ['excess', 'compared_pixel_count'],
    }) }}

),

intervals as (

    select
        model_id,
        inference_path,
        scale_px,
        kind,
        {{ percentile_ends('energy / 4096', 'energy') }},
        {{ percentile_ends('excess / 4096', 'excess') }}
    from replicates
    group by model_id, inference_path, scale_px, kind

),

measured as (

    select
        model_id,
        inference_path,
        scale_px,
        kind,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(*) as cluster_count,
        count(compared_pixel_count) as compared_cluster_count,
        cast(sum(image_count) as bigint) as image_count,
        cast(sum(pixel_count) as bigint) as pixel_count,
        cast(sum(reference_energy) as double) / sum(pixel_count) / 4096 as reference_energy,
        cast(sum(product) as double) / nullif(sum(reference_energy), 0) as kept,
        cast(sum(energy) as double) / sum(pixel_count) / 4096 as energy,
        cast(sum(baseline_energy) as double) / sum(compared_pixel_count) / 4096
            as baseline_energy,
        cast(sum(excess) as double) / sum(compared_pixel_count) / 4096 as excess
    from clustered
    group by model_id, inference_path, scale_px, kind

),

final as (

    select
        measured.model_id,
        measured.inference_path,
        cast(measured.scale_px as integer) as scale_px,
        measured.kind,
        measured.cluster_unit,
        measured.cluster_count,
        measured.image_count,
        measured.pixel_count,
        measured.energy as energy_dn2,
        {{ interval_end(
            'measured.energy', 'intervals.energy_low', 'measured.cluster_count', 'limits', 0
        ) }} as energy_dn2_low,
        {{ interval_end(
            'measured.energy', 'intervals.energy_high', 'measured.cluster_count', 'limits', 0
        ) }} as energy_dn2_high,
        measured.reference_energy as reference_energy_dn2,
        measured.energy / nullif(measured.reference_energy, 0) as share_of_reference,
        measured.kept,
        measured.baseline_energy as baseline_energy_dn2,
        measured.excess as excess_dn2,
        {{ interval_end(
            'measured.excess', 'intervals.excess_low', 'measured.compared_cluster_count',
            'compared_limits'
        ) }} as excess_dn2_low,
        {{ interval_end(
            'measured.excess', 'intervals.excess_high', 'measured.compared_cluster_count',
            'compared_limits'
        ) }} as excess_dn2_high
    from measured
    left join intervals
        on measured.model_id = intervals.model_id
        and measured.inference_path = intervals.inference_path
        and measured.scale_px = intervals.scale_px
        and measured.kind = intervals.kind
    left join limits on measured.cluster_count - 1 = limits.df
    left join limits as compared_limits
        on measured.compared_cluster_count - 1 = compared_limits.df

)

select * from final
