{#- The residual to the LR image at a place against elsewhere in the same images, and how much more
    that is than in the baseline's notta image, which is not compared with itself. Blocks within
    four of the frame are in the frame's comparison alone: it has its own effect. -#}
{%- set kinds = ['own', 'paired', 'base'] -%}
{%- set sides = ['near', 'far'] -%}
{%- set quantities = residual_quantities() -%}
{%- set least_most = {'difference': 1, 'excess': 2} -%}
{%- set ratios = {} -%}
{%- for kind in kinds -%}
{%- for side in sides -%}
{%- set own = kind ~ '_' ~ side -%}
{%- for name in quantities -%}
{%- do ratios.update({name ~ '_' ~ own: [name ~ '_' ~ own, 'count_' ~ own]}) -%}
{%- endfor -%}
{%- endfor -%}
{%- endfor -%}
with rings as (

    select * from {{ ref('int_image_rings') }}

),

seams as (

    select * from {{ ref('int_image_seams') }}

),

models as (

    select * from {{ ref('dim_models') }}

),

parameters as (

    select * from {{ ref('stg_raw__parameters') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

draws as (

    select * from {{ ref('int_cluster_draws') }}

),

placed as (

    select
        model_id,
        image_id,
        'frame' as place,
        cast(null as integer) as tile_px,
        ring = 0 as is_near
        {%- for path in inference_paths() %},
        judged_{{ path }},
        contradicted_{{ path }},
        rms_{{ path }}
        {%- endfor %}
    from rings
    where ring = 0 or ring >= {{ constant('interior_ring') }}
    union all
    select
        model_id,
        image_id,
        case when phase_px = 0 then 'seam' else 'between_seams' end as place,
        tile_px,
        seam_distance = 0 as is_near
        {%- for path in inference_paths() %},
        judged_{{ path }},
        contradicted_{{ path }},
        rms_{{ path }}
        {%- endfor %}
    from seams

),

summed as (

    select
        model_id,
        image_id,
        place,
        tile_px
        {%- for path in inference_paths() %}
        {%- for side in sides %}
        {%- for name in ['judged', 'contradicted', 'rms'] %},
        sum({{ name }}_{{ path }}) filter (
            where {{ 'is_near' if side == 'near' else 'not is_near' }} and judged_{{ path }} > 0
        ) as {{ name }}_{{ side }}_{{ path }}
        {%- endfor %}
        {%- endfor %}
        {%- endfor %}
    from placed
    group by model_id, image_id, place, tile_px

),

-- The baseline is measured at every model's tiles, and compared at each.
own as (

    select summed.*
    from summed
    inner join models on summed.model_id = models.model_id
    where summed.tile_px is null or summed.tile_px = models.tile_px

),

baselines as (

    select * from summed
    where model_id = (select baseline_model from parameters)

),

compared as (

    {%- for path in inference_paths() %}
    select
        own.model_id,
        '{{ path }}' as inference_path,
        own.place,
        own.tile_px,
        own.image_id
        {%- for side in sides %}
        {%- set measured = 'own.judged_' ~ side ~ '_' ~ path -%}
        {%- set in_baseline = 'baselines.judged_' ~ side ~ '_notta' %},
        {{ measured }} as count_own_{{ side }},
        case when {{ in_baseline }} > 0 then {{ measured }} end as count_paired_{{ side }},
        case when {{ measured }} > 0 then {{ in_baseline }} end as count_base_{{ side }}
        {%- for name, facts in quantities.items() %},
        own.{{ facts['sum'] }}_{{ side }}_{{ path }} as {{ name }}_own_{{ side }},
        case when {{ in_baseline }} > 0 then own.{{ facts['sum'] }}_{{ side }}_{{ path }} end
            as {{ name }}_paired_{{ side }},
        case when {{ measured }} > 0 then baselines.{{ facts['sum'] }}_{{ side }}_notta end
            as {{ name }}_base_{{ side }}
        {%- endfor %}
        {%- endfor %}
    from own
    left join baselines
        on own.image_id = baselines.image_id
        and own.place = baselines.place
        and own.tile_px is not distinct from baselines.tile_px
        and own.model_id != baselines.model_id
    where own.judged_near_{{ path }} > 0 or own.judged_far_{{ path }} > 0
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

clustered as (

    select
        compared.model_id,
        compared.inference_path,
        compared.place,
        compared.tile_px,
        clusters.cluster_id,
        clusters.cluster_unit
        {%- for kind in kinds %}
        {%- for side in sides %},
        sum(compared.count_{{ kind }}_{{ side }}) as count_{{ kind }}_{{ side }}
        {%- for name in quantities %},
        sum(compared.{{ name }}_{{ kind }}_{{ side }}) as {{ name }}_{{ kind }}_{{ side }}
        {%- endfor %}
        {%- endfor %}
        {%- endfor %}
    from compared
    inner join clusters on compared.image_id = clusters.image_id
    group by
        compared.model_id, compared.inference_path, compared.place, compared.tile_px,
        clusters.cluster_id, clusters.cluster_unit

),

replicates as (

    {{ resampled(['model_id', 'inference_path', 'place'], ratios) }}

),

resampled as (

    {%- for name in quantities %}
    select
        model_id,
        inference_path,
        place,
        '{{ name }}' as quantity,
        {{ name }}_own_near - {{ name }}_own_far as difference,
        {{ name }}_paired_near - {{ name }}_paired_far
        - ({{ name }}_base_near - {{ name }}_base_far) as excess
    from replicates
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

intervals as (

    select
        model_id,
        inference_path,
        place,
        quantity
        {%- for name in least_most %},
        {{ percentile_ends(name, name) }}
        {%- endfor %}
    from resampled
    group by model_id, inference_path, place, quantity

),

totals as (

    select
        model_id,
        inference_path,
        place,
        tile_px,
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(*) filter (where count_own_near > 0 and count_own_far > 0) as cluster_count,
        count(*) filter (where count_base_near > 0 and count_base_far > 0)
            as excess_cluster_count,
        cast(coalesce(sum(count_own_near), 0) as bigint) as near_block_count,
        cast(coalesce(sum(count_own_far), 0) as bigint) as far_block_count
        {%- for name in quantities %}
        {%- for kind in kinds %}
        {%- for side in sides %},
        cast(sum({{ name }}_{{ kind }}_{{ side }}) as double)
        / nullif(cast(sum(count_{{ kind }}_{{ side }}) as double), 0)
            as {{ name }}_{{ kind }}_{{ side }}
        {%- endfor %}
        {%- endfor %}
        {%- endfor %}
    from clustered
    group by model_id, inference_path, place, tile_px

),

estimated as (

    {%- for name, facts in quantities.items() %}
    select
        model_id,
        inference_path,
        place,
        '{{ name }}' as quantity,
        '{{ facts['unit'] }}' as unit,
        tile_px,
        cluster_unit,
        cluster_count,
        near_block_count,
        far_block_count,
        {{ name }}_own_near as near_mean,
        {{ name }}_own_far as far_mean,
        {{ name }}_own_near - {{ name }}_own_far as difference,
        excess_cluster_count,
        {{ name }}_paired_near - {{ name }}_paired_far
        - ({{ name }}_base_near - {{ name }}_base_far) as excess
    from totals
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

-- A share's difference ends at one, and its excess at two; a residual's has no end.
bounded as (

    select
        *
        {%- for name, most in least_most.items() %},
        case
            {%- for quantity, facts in quantities.items() if facts['most'] is not none %}
            when quantity = '{{ quantity }}' then cast({{ most * facts['most'] }} as double)
            {%- endfor %}
            else cast('infinity' as double)
        end as {{ name }}_most
        {%- endfor %}
    from estimated

),

final as (

    select
        bounded.model_id,
        bounded.inference_path,
        bounded.place,
        bounded.quantity,
        bounded.unit,
        bounded.tile_px,
        bounded.cluster_unit,
        bounded.cluster_count,
        bounded.near_block_count,
        bounded.far_block_count,
        bounded.near_mean,
        bounded.far_mean,
        bounded.difference,
        {%- for end in ['low', 'high'] %}
        {{ interval_end(
            'bounded.difference', 'intervals.difference_' ~ end, 'bounded.cluster_count',
            'limits', '-bounded.difference_most', 'bounded.difference_most'
        ) }} as difference_{{ end }},
        {%- endfor %}
        bounded.excess_cluster_count,
        bounded.excess,
        {%- for end in ['low', 'high'] %}
        {{ interval_end(
            'bounded.excess', 'intervals.excess_' ~ end, 'bounded.excess_cluster_count',
            'excess_limits', '-bounded.excess_most', 'bounded.excess_most'
        ) }} as excess_{{ end }}{{ ',' if not loop.last }}
        {%- endfor %}
    from bounded
    left join intervals
        on bounded.model_id = intervals.model_id
        and bounded.inference_path = intervals.inference_path
        and bounded.place = intervals.place
        and bounded.quantity = intervals.quantity
    left join limits on bounded.cluster_count - 1 = limits.df
    left join limits as excess_limits on bounded.excess_cluster_count - 1 = excess_limits.df

)

select * from final
