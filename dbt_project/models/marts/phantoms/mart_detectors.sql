{#- Variance after Obuchowski (1997, doi:10.2307/2533958): with m places drawn at and n shams of I
    patients, deviations of a patient's wins and losses from the common area A times its counts, as
    whole numbers over 2 m n. Interval on the logit, of Student's t with I - 1 degrees of freedom, I
    the patients who have both. -#}
{%- set groups = injection_groups() + ['detector', 'reading'] -%}
{%- set key = groups | join(', ') -%}
with clusters as (

    select * from {{ ref('int_detector_clusters') }}

),

found as (

    select * from {{ ref('int_detector_limits') }}

),

limits as (

    select * from {{ ref('int_student_limits') }}

),

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
        cast(totals.drawn_all * clusters.drawn_wins - clusters.drawn_count * totals.wins as hugeint)
            as drawn_deviation,
        cast(totals.sham_all * clusters.sham_losses - clusters.sham_count * totals.wins as hugeint)
            as sham_deviation
    from clusters
    inner join totals
        {%- for column in groups %}
        {{ 'on' if loop.first else 'and' }} clusters.{{ column }}
            is not distinct from totals.{{ column }}
        {%- endfor %}

),

summed as (

    select
        {{ key }},
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
    from deviations
    group by {{ key }}
    having max(sham_all) > 0

),

varied as (

    select
        *,
        (
            cast(drawn_cluster_count as double) / nullif(drawn_cluster_count - 1, 0)
            * drawn_square / pow(cast(drawn_count as double), 2)
            + cast(sham_cluster_count as double) / nullif(sham_cluster_count - 1, 0)
            * sham_square / pow(cast(sham_count as double), 2)
            + 2 * cast(cluster_count as double) / nullif(cluster_count - 1, 0)
            * product / (cast(drawn_count as double) * sham_count)
        ) / pow(2 * cast(drawn_count as double) * sham_count, 2) as variance
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

),

final as (

    select
        bounded.model_id,
        bounded.inference_path,
        bounded.arm,
        bounded.kind,
        bounded.component,
        bounded.contrast_dn,
        bounded.detector,
        bounded.reading,
        bounded.cluster_unit,
        bounded.drawn_cluster_count as cluster_count,
        bounded.drawn_count,
        bounded.sham_count,
        round(bounded.auc, 9) as auc,
        round(1 / (1 + (1 - bounded.auc) / bounded.auc * exp(bounded.reach)), 9) as auc_low,
        round(1 / (1 + (1 - bounded.auc) / bounded.auc * exp(-bounded.reach)), 9) as auc_high,
        round(sqrt(bounded.variance), 9) as auc_error,
        found.limit_score,
        found.found_count,
        cast(found.found_count as double) / bounded.drawn_count as sensitivity_ratio
    from bounded
    left join found
        {%- for column in groups %}
        {{ 'on' if loop.first else 'and' }} bounded.{{ column }}
            is not distinct from found.{{ column }}
        {%- endfor %}

)

select * from final
