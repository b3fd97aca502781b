{#- Means over patients, of inside less outside and of the same less the baseline's, each with a t
    corrected for skewness (macros/skewed_means.sql) and the interval that is its inverse. Holm's
    correction holds whatever the dependence, and findings share patients. Its families: the
    findings of one model, path and quantity; and those of one model and path, all quantities. `any`
    is the union of the findings and in a family of its own. Nothing is tested on few patients; nor
    is `extreme`, a rare share for which no test is exact. -#}
{%- set names = lesion_quantities('notta') | list -%}
{%- set contrasts = ['difference', 'excess'] -%}
{%- set keys = ['model_id', 'inference_path', 'finding', 'quantity'] -%}
{%- set key = keys | join(', ') -%}
{%- set families = {
    'holm': 'contrast, model_id, inference_path, quantity, finding = \'any\'',
    'holm_all': 'contrast, model_id, inference_path, finding = \'any\'',
} -%}
with models as (

    select * from {{ ref('dim_models') }}

),

findings as (

    select finding from {{ ref('int_box_blocks') }}
    group by finding

),

clusters as (

    select * from {{ ref('int_cluster_lesions') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

cells as (

    select
        models.model_id,
        paths.inference_path,
        findings.finding,
        quantities.quantity
    from models
    cross join (values ('notta'), ('tta')) as paths (inference_path)
    cross join findings
    cross join (values
        {%- for name in names %} ('{{ name }}'){{ ',' if not loop.last }}{% endfor %}
    ) as quantities (quantity)

),

measured as (

    select
        {{ key }},
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(*) as cluster_count,
        count(excess) as excess_cluster_count,
        cast(sum(image_count) as bigint) as image_count,
        cast(sum(inside_block_count) as bigint) as inside_block_count,
        cast(sum(outside_block_count) as bigint) as outside_block_count,
        {{ ordered_mean('inside_mean', 'cluster_id') }} as inside_mean,
        {{ ordered_mean('outside_mean', 'cluster_id') }} as outside_mean
    from clusters
    group by {{ key }}

),

listed as (

    {%- for contrast in contrasts %}
    select
        {{ key }},
        '{{ contrast }}' as contrast,
        count({{ contrast }}) as cluster_count,
        {{ ordered_mean(contrast, 'cluster_id') }} as mean,
        list({{ contrast }} order by cluster_id) filter (where {{ contrast }} is not null)
            as differences
    from clusters
    group by {{ key }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

estimated as (

    select
        *,
        case
            when cluster_count >= {{ constant('least_tested') }} and quantity != 'extreme'
                then nullif({{ standard_error('differences', 'mean') }}, 0)
        end as standard_error
    from listed

),

skewed as (

    select
        *,
        mean / standard_error as t_plain,
        {{ skew_of_mean('differences', 'mean', 'standard_error') }} as skew
    from estimated

),

corrected as (

    select
        *,
        {{ corrected_t('t_plain', 'skew') }} as t
    from skewed

),

judged as (

    select
        corrected.*,
        {{ student_p('corrected.t', '(corrected.cluster_count - 1)') }} as p_value,
        {%- for end in interval_ends() %}
        {{ skewed_end(
            'corrected.mean', 'corrected.standard_error', 'limits.t_limit', 'corrected.skew', end
        ) }} as {{ end }}{{ ',' if not loop.last }}
        {%- endfor %}
    from corrected
    left join limits on corrected.cluster_count - 1 = limits.df

),

ranked as (

    select
        *
        {%- for name, family in families.items() %},
        row_number() over (partition by {{ family }} order by p_value, quantity, finding)
            as {{ name }}_position,
        count(*) over (partition by {{ family }}) as {{ name }}_size
        {%- endfor %}
    from judged
    where p_value is not null

),

families as (

    select
        {{ key }},
        contrast
        {%- for name, family in families.items() %},
        max(least(1, ({{ name }}_size - {{ name }}_position + 1) * p_value)) over (
            partition by {{ family }}
            order by {{ name }}_position rows between unbounded preceding and current row
        ) as p_{{ name }},
        {{ name }}_size
        {%- endfor %}
    from ranked

),

final as (

    select
        cells.model_id,
        cells.inference_path,
        cells.finding,
        cells.quantity,
        measured.cluster_unit,
        coalesce(measured.cluster_count, 0) as cluster_count,
        coalesce(measured.image_count, 0) as image_count,
        coalesce(measured.inside_block_count, 0) as inside_block_count,
        coalesce(measured.outside_block_count, 0) as outside_block_count,
        measured.inside_mean,
        measured.outside_mean,
        difference.mean as difference,
        difference.low as difference_low,
        difference.high as difference_high,
        difference.t,
        difference.p_value,
        difference_families.p_holm,
        difference_families.holm_size as family_size,
        difference_families.p_holm_all,
        difference_families.holm_all_size as family_all_size,
        coalesce(measured.excess_cluster_count, 0) as excess_cluster_count,
        excess.mean as excess,
        excess.low as excess_low,
        excess.high as excess_high,
        excess.t as excess_t,
        excess.p_value as excess_p_value,
        excess_families.p_holm as excess_p_holm,
        excess_families.holm_size as excess_family_size,
        excess_families.p_holm_all as excess_p_holm_all,
        excess_families.holm_all_size as excess_family_all_size
    from cells
    left join measured
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} cells.{{ column }} = measured.{{ column }}
        {%- endfor %}
    {%- for contrast in contrasts %}
    left join judged as {{ contrast }}
        on {{ contrast }}.contrast = '{{ contrast }}'
        {%- for column in keys %}
        and cells.{{ column }} = {{ contrast }}.{{ column }}
        {%- endfor %}
    left join families as {{ contrast }}_families
        on {{ contrast }}_families.contrast = '{{ contrast }}'
        {%- for column in keys %}
        and cells.{{ column }} = {{ contrast }}_families.{{ column }}
        {%- endfor %}
    {%- endfor %}

)

select * from final
