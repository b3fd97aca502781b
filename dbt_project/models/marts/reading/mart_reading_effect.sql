{#- Areas by patient and differences of two on the same images, after Obuchowski (1997,
    doi:10.2307/2533958), which is DeLong's test where each patient has one image; calls that turned
    over, with the interval of a share and a sign-flip test by patient. Holm's correction holds
    whatever the dependence: its families are the findings of one reader, model, path and
    comparison. -#}
{%- set keys = reading_groups() -%}
{%- set key = keys | join(', ') -%}
{%- set tests = ['reference', 'lr', 'flip'] -%}
with readings as (

    select * from {{ ref('fct_readings') }}
    where subject = 'restored' and is_current

),

clusters as (

    select * from {{ ref('int_reading_clusters') }}

),

flips as (

    select * from {{ ref('int_reading_flips') }}

),

points as (

    select * from {{ ref('int_beta_points') }}

),

reference_limits as (

    select * from {{ ref('int_reading_limits') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

cells as (

    select
        {{ key }},
        {{ cluster_unit('cluster_unit') }} as cluster_unit,
        count(*) as read_count
        {%- for against in ['reference', 'lr'] %},
        count(*) filter (where has_finding is not null and {{ against }}_score is not null)
            as {{ against }}_image_count,
        count(*) filter (where has_finding and {{ against }}_score is not null)
            as {{ against }}_positive_count
        {%- endfor %}
    from readings
    group by {{ key }}

),

{{ roc_areas(keys + ['against', 'side']) }},

compared as (

    select
        {% for column in keys + ['against', 'cluster_id', 'cluster_unit'] -%}
        restored.{{ column }},
        {% endfor -%}
        restored.drawn_count,
        restored.sham_count,
        restored.drawn_all,
        restored.sham_all,
        restored.wins - baseline.wins as wins,
        restored.drawn_deviation - baseline.drawn_deviation as drawn_deviation,
        restored.sham_deviation - baseline.sham_deviation as sham_deviation
    from deviations as restored
    inner join deviations as baseline
        on restored.side = 'restored'
        and baseline.side = 'baseline'
        {%- for column in keys + ['against', 'cluster_id'] %}
        and restored.{{ column }} = baseline.{{ column }}
        {%- endfor %}

),

differences as (

    select
        {{ key }},
        against,
        {{ roc_sums() }}
    from compared
    group by {{ key }}, against

),

spread as (

    select
        *,
        least(drawn_cluster_count, sham_cluster_count) - 1 as df,
        case
            when least(drawn_cluster_count, sham_cluster_count) >= {{ var('min_clusters') }}
                then sqrt(nullif({{ roc_variance() }}, 0))
        end as standard_error
    from differences

),

judged as (

    select
        spread.*,
        spread.auc / spread.standard_error as t,
        {{ student_p('(spread.auc / spread.standard_error)', 'spread.df') }} as p_value,
        -- greatest and least skip NULL.
        case
            when spread.standard_error is not null
                then greatest(-1, spread.auc - limits.t_limit * spread.standard_error)
        end as low,
        case
            when spread.standard_error is not null
                then least(1, spread.auc + limits.t_limit * spread.standard_error)
        end as high
    from spread
    left join limits on spread.df = limits.df

),

turned as (

    select
        *,
        case
            when cluster_count >= {{ var('min_clusters') }}
                then {{ sign_flip_p('net_sizes', '(gained_count - lost_count)') }}
        end as p_value
    from flips

),

tested as (

    select
        {{ key }},
        against as test,
        p_value
    from judged
    where p_value is not null
    union all
    select
        {{ key }},
        'flip' as test,
        p_value
    from turned
    where p_value is not null

),

ranked as (

    select
        *,
        row_number() over family as position,
        count(*) over (partition by test, reader, model_id, inference_path) as family_size
    from tested
    window family as (
        partition by test, reader, model_id, inference_path order by p_value, finding
    )

),

families as (

    select
        {{ key }},
        test,
        family_size,
        max(least(1, (family_size - position + 1) * p_value)) over (
            partition by test, reader, model_id, inference_path
            order by position rows between unbounded preceding and current row
        ) as p_holm
    from ranked

),

final as (

    select
        cells.{{ keys | join(',\n        cells.') }},
        cells.cluster_unit,
        cells.read_count
        {%- for against in ['reference', 'lr'] %}
        {%- set prefix = '' if against == 'reference' else 'lr_' %}
        {%- set restored = prefix ~ 'restored' %},
        cells.{{ against }}_image_count as {{ prefix }}image_count,
        cells.{{ against }}_positive_count as {{ prefix }}positive_count,
        {{ against }}_judged.drawn_cluster_count as {{ prefix }}positive_cluster_count,
        {{ against }}_judged.sham_cluster_count as {{ prefix }}negative_cluster_count,
        {%- for side, name in {'baseline': against, 'restored': restored}.items() %}
        {%- set relation = against ~ '_' ~ side %}
        {%- set odds = '(1 - ' ~ relation ~ '.auc) / ' ~ relation ~ '.auc' %}
        round({{ relation }}.auc, 9) as {{ name }}_auc,
        round(1 / (1 + {{ odds }} * exp({{ relation }}.reach)), 9) as {{ name }}_auc_low,
        round(1 / (1 + {{ odds }} * exp(-{{ relation }}.reach)), 9) as {{ name }}_auc_high,
        {%- endfor %}
        round({{ against }}_judged.auc, 9) as {{ prefix }}auc_difference,
        round({{ against }}_judged.low, 9) as {{ prefix }}auc_difference_low,
        round({{ against }}_judged.high, 9) as {{ prefix }}auc_difference_high,
        round({{ against }}_judged.standard_error, 9) as {{ prefix }}auc_difference_error,
        {{ against }}_judged.t as {{ prefix }}t,
        {{ against }}_judged.p_value as {{ prefix }}p_value,
        {{ against }}_family.p_holm as {{ prefix }}p_holm,
        {{ against }}_family.family_size as {{ prefix }}family_size
        {%- endfor %},
        reference_limits.limit_score,
        reference_limits.positive_count as limit_positive_count,
        reference_limits.negative_count as limit_negative_count,
        cast(reference_limits.found_count as double) / reference_limits.positive_count
            as limit_sensitivity_ratio,
        1 - cast(reference_limits.alarm_count as double) / reference_limits.negative_count
            as limit_specificity_ratio,
        turned.cluster_count as flip_cluster_count,
        cast(turned.evaluated_count as bigint) as called_count,
        cast(turned.flagged_count as bigint) as flip_count,
        cast(turned.flagged_count as double) / turned.evaluated_count as flip_ratio,
        {{ share_end('turned', 'lower_points', 'low') }} as flip_low_ratio,
        {{ share_end('turned', 'upper_points', 'high') }} as flip_high_ratio,
        turned.gained_count,
        turned.lost_count,
        round(turned.p_value, 9) as flip_p_value,
        round(flip_family.p_holm, 9) as flip_p_holm,
        flip_family.family_size as flip_family_size
    from cells
    {%- for against in ['reference', 'lr'] %}
    {%- for side in ['baseline', 'restored'] %}
    left join bounded as {{ against }}_{{ side }}
        on {{ against }}_{{ side }}.against = '{{ against }}'
        and {{ against }}_{{ side }}.side = '{{ side }}'
        {%- for column in keys %}
        and cells.{{ column }} = {{ against }}_{{ side }}.{{ column }}
        {%- endfor %}
    {%- endfor %}
    left join judged as {{ against }}_judged
        on {{ against }}_judged.against = '{{ against }}'
        {%- for column in keys %}
        and cells.{{ column }} = {{ against }}_judged.{{ column }}
        {%- endfor %}
    {%- endfor %}
    {%- for test in tests %}
    left join families as {{ test }}_family
        on {{ test }}_family.test = '{{ test }}'
        {%- for column in keys %}
        and cells.{{ column }} = {{ test }}_family.{{ column }}
        {%- endfor %}
    {%- endfor %}
    left join reference_limits
        on cells.reader = reference_limits.reader
        and cells.finding = reference_limits.finding
    left join turned
        {%- for column in keys %}
        {{ 'on' if loop.first else 'and' }} cells.{{ column }} = turned.{{ column }}
        {%- endfor %}
    left join points as lower_points
        on {{ share_point('turned', 'lower_points', 'low') }}
    left join points as upper_points
        on {{ share_point('turned', 'upper_points', 'high') }}

)

select * from final
