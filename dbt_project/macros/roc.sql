{#- The area under a ROC curve and its error by patient, after Obuchowski (1997,
    doi:10.2307/2533958): `roc_clusters` counts, `roc_areas` makes estimates of the counts. -#}

{#- What `roc_clusters` counts, of other things than places drawn at too. From the CTE `judged`
    (condition_number, position, cluster_id, cluster_unit, is_drawn): CTEs up to `summed`, a row for
    each condition and cluster. `position` ranks scores
    within a condition, ties alike; is_drawn is 1 of what shall score higher, else 0. -#}
{% macro roc_counts() -%}
    counted as (

        select
            condition_number,
            position,
            sum(is_drawn) as drawn_here,
            sum(1 - is_drawn) as sham_here
        from judged
        group by condition_number, position

    ),

    -- Twice what lies below, and once what lies level.
    ranked as (

        select
            condition_number,
            position,
            2 * sum(drawn_here) over below - drawn_here as drawn_below,
            2 * sum(sham_here) over below - sham_here as sham_below
        from counted
        window below as (
            partition by condition_number order by position rows unbounded preceding
        )

    ),

    summed as (

        select
            judged.condition_number,
            judged.cluster_id,
            judged.cluster_unit,
            sum(judged.is_drawn) as drawn_count,
            sum(1 - judged.is_drawn) as sham_count,
            sum(judged.is_drawn * ranked.sham_below) as drawn_wins,
            sum((1 - judged.is_drawn) * ranked.drawn_below) as sham_wins
        from judged
        inner join ranked
            on judged.condition_number = ranked.condition_number
            and judged.position = ranked.position
        group by judged.condition_number, judged.cluster_id, judged.cluster_unit

    )
{%- endmacro %}

{#- Of each detector and condition, by patient: how often the places where something was drawn score
    above the shams, a tie counting half; everything twice, so that it is a whole number. Shams
    stand beside every condition of their kind, so what is joined there are numbers, not names.
    From a CTE `scores` (injection_groups(), detector, reading, cluster_id, cluster_unit, score):
    the CTEs up to `final`, of all these but the score, and the counts. -#}
{% macro roc_clusters() -%}
    {%- set detected = ['model_id', 'inference_path', 'kind', 'detector', 'reading'] -%}
    {%- set drawn = ['arm', 'signal_part', 'contrast_dn'] -%}
    detectors as (

        select
            {{ detected | join(', ') }},
            row_number() over (order by {{ detected | join(', ') }}) as detector_number
        from scores
        group by {{ detected | join(', ') }}

    ),

    placed as (

        select
            detectors.detector_number,
            scores.{{ drawn | join(', scores.') }},
            scores.cluster_id,
            scores.cluster_unit,
            dense_rank() over (
                partition by detectors.detector_number order by scores.score
            ) as position
        from scores
        inner join detectors
            {%- for column in detected %}
            {{ 'on' if loop.first else 'and' }} scores.{{ column }} = detectors.{{ column }}
            {%- endfor %}

    ),

    conditions as (

        select
            detector_number,
            {{ drawn | join(', ') }},
            count(*) as drawn_all,
            row_number() over (
                order by detector_number, {{ drawn | join(', ') }}
            ) as condition_number
        from placed
        where arm != 'sham'
        group by detector_number, {{ drawn | join(', ') }}

    ),

    judged as (

        select
            conditions.condition_number,
            placed.position,
            placed.cluster_id,
            placed.cluster_unit,
            1 as is_drawn
        from placed
        inner join conditions
            on placed.detector_number = conditions.detector_number
            {%- for column in drawn %}
            and placed.{{ column }} is not distinct from conditions.{{ column }}
            {%- endfor %}
        union all
        select
            conditions.condition_number,
            placed.position,
            placed.cluster_id,
            placed.cluster_unit,
            0 as is_drawn
        from conditions
        inner join placed
            on conditions.detector_number = placed.detector_number
            and placed.arm = 'sham'

    ),

    {{ roc_counts() }},

    final as (

        select
            detectors.model_id,
            detectors.inference_path,
            conditions.arm,
            detectors.kind,
            conditions.signal_part,
            conditions.contrast_dn,
            detectors.detector,
            detectors.reading,
            summed.cluster_id,
            summed.cluster_unit,
            cast(summed.drawn_count as hugeint) as drawn_count,
            cast(summed.sham_count as hugeint) as sham_count,
            cast(summed.drawn_wins as hugeint) as drawn_wins,
            cast(2 * summed.sham_count * conditions.drawn_all - summed.sham_wins as hugeint)
                as sham_losses
        from summed
        inner join conditions on summed.condition_number = conditions.condition_number
        inner join detectors on conditions.detector_number = detectors.detector_number

    )
{%- endmacro %}

{#- Deviations of a patient's wins and losses from the common area A times its counts, as whole
    numbers over 2 m n, m places drawn at and n shams. Argument: columns that name a condition. From
    the CTE `clusters`, as `roc_clusters` gives it: the CTEs up to `deviations`. -#}
{% macro roc_deviations(groups) -%}
    {%- set key = groups | join(', ') -%}
    totals as (

        select
            {{ key }},
            sum(drawn_count) as drawn_all,
            sum(sham_count) as sham_all,
            sum(drawn_wins) as wins
        from clusters
        group by {{ key }}

    ),

    deviations as (

        select
            clusters.*,
            totals.drawn_all,
            totals.sham_all,
            totals.wins,
            cast(
                totals.drawn_all * clusters.drawn_wins - clusters.drawn_count * totals.wins as hugeint
            )
                as drawn_deviation,
            cast(
                totals.sham_all * clusters.sham_losses - clusters.sham_count * totals.wins as hugeint
            )
                as sham_deviation
        from clusters
        inner join totals
            {%- for column in groups %}
            {{ 'on' if loop.first else 'and' }} clusters.{{ column }}
                is not distinct from totals.{{ column }}
            {%- endfor %}

    )
{%- endmacro %}

{#- Sums over the patients of a condition: select items, of the columns of `deviations`. Its two
    deviations may be differences of those of two scorings of the same places. -#}
{% macro roc_sums() -%}
    {{ cluster_unit('cluster_unit') }} as cluster_unit,
            count(*) as cluster_count,
            count(*) filter (where drawn_count > 0) as drawn_cluster_count,
            count(*) filter (where sham_count > 0) as sham_cluster_count,
            cast(max(drawn_all) as bigint) as drawn_count,
            cast(max(sham_all) as bigint) as sham_count,
            cast(max(wins) as double) / (2 * max(drawn_all) * max(sham_all)) as auc,
            cast(sum(drawn_deviation * drawn_deviation) as double) as drawn_square,
            cast(sum(sham_deviation * sham_deviation) as double) as sham_square,
            cast(sum(drawn_deviation * sham_deviation) as double) as product
{%- endmacro %}

{#- Obuchowski's variance of an area or of a difference of two. Result: SQL of `roc_sums`' columns. -#}
{% macro roc_variance() -%}
    (
                cast(drawn_cluster_count as double) / nullif(drawn_cluster_count - 1, 0)
                * drawn_square / pow(cast(drawn_count as double), 2)
                + cast(sham_cluster_count as double) / nullif(sham_cluster_count - 1, 0)
                * sham_square / pow(cast(sham_count as double), 2)
                + 2 * cast(cluster_count as double) / nullif(cluster_count - 1, 0)
                * product / (cast(drawn_count as double) * sham_count)
            ) / pow(2 * cast(drawn_count as double) * sham_count, 2)
{%- endmacro %}

{#- Areas of the deviations. Interval on the logit, of Student's t with I - 1 degrees of freedom, I
    the patients who have both. Argument: columns that name a condition, of detectors by default.
    From CTEs `clusters`, as `roc_clusters` gives it, and `limits`, which is int_student_limits: the
    CTEs up to `bounded`, a row for each condition, detector and reading with auc, variance and
    reach, the interval's half width on the logit. -#}
{% macro roc_areas(groups=none) -%}
    {%- set groups = groups or injection_groups() + ['detector', 'reading'] -%}
    {%- set key = groups | join(', ') -%}
    {{ roc_deviations(groups) }},

    summed as (

        select
            {{ key }},
            {{ roc_sums() }}
        from deviations
        group by {{ key }}
        having max(sham_all) > 0

    ),

    varied as (

        select
            *,
            {{ roc_variance() }} as variance
        from summed

    ),

    bounded as (

        select
            varied.*,
            case
                when varied.cluster_count >= {{ var('min_clusters') }}
                    and varied.auc > 0 and varied.auc < 1 and varied.variance > 0
                    then limits.t_limit * sqrt(varied.variance) / (varied.auc * (1 - varied.auc))
            end as reach
        from varied
        left join limits
            on least(varied.drawn_cluster_count, varied.sham_cluster_count) - 1 = limits.df

    )
{%- endmacro %}

{#- The area and its interval as a mart shows them. Argument: the relation `bounded`. -#}
{% macro roc_columns(relation) -%}
    {%- set odds = '(1 - ' ~ relation ~ '.auc) / ' ~ relation ~ '.auc' -%}
    round({{ relation }}.auc, 9) as auc,
        round(1 / (1 + {{ odds }} * exp({{ relation }}.reach)), 9) as auc_low,
        round(1 / (1 + {{ odds }} * exp(-{{ relation }}.reach)), 9) as auc_high,
        round(sqrt({{ relation }}.variance), 9) as auc_error
{%- endmacro %}
