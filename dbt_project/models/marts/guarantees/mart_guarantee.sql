{#- What each limit of int_trust_limits masks and misses in the study's patients, each of whom
    counts as one. Intervals: macros/skewed_means.sql, from as many patients on as they hold for.
    -#}
{%- set keys = ['model_id', 'inference_path', 'score', 'loss', 'alpha_ratio'] -%}
{%- set measures = ['risk', 'masked'] -%}
with counts as (

    select * from {{ ref('int_image_trust_levels') }}

),

clusters as (

    select * from {{ ref('int_clusters') }}

),

limits as (

    select * from {{ ref('int_trust_limits') }}

),

student as (

    select * from {{ ref('int_student_limits') }}

),

clustered as (

    {%- for loss in trust_losses('notta') %}
    select
        counts.model_id,
        counts.inference_path,
        counts.score,
        '{{ loss }}' as loss,
        clusters.cluster_id,
        counts.trust_level,
        sum(counts.block_count) as block_count,
        sum(counts.{{ loss }}_count) as bad_count
    from counts
    inner join clusters on counts.image_id = clusters.image_id
    group by
        counts.model_id, counts.inference_path, counts.score, clusters.cluster_id,
        counts.trust_level
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}

),

masked as (

    select
        {%- for key in keys %}
        limits.{{ key }},
        {%- endfor %}
        clustered.cluster_id,
        sum(clustered.block_count) as block_count,
        sum(clustered.bad_count) as bad_count,
        coalesce(
            sum(clustered.block_count) filter (where clustered.trust_level <= limits.limit_level),
            0
        ) as trusted_count,
        coalesce(
            sum(clustered.bad_count) filter (where clustered.trust_level <= limits.limit_level), 0
        ) as missed_count
    from limits
    inner join clustered
        on limits.model_id = clustered.model_id
        and limits.inference_path = clustered.inference_path
        and limits.score = clustered.score
        and limits.loss = clustered.loss
    where limits.limit_level is not null
    group by
        {%- for key in keys %} limits.{{ key }},{% endfor %} clustered.cluster_id

),

-- Of a patient without a bad block none is missed; one without a good block has no share of them.
shared as (

    select
        *,
        round(
            coalesce(cast(missed_count as double) / nullif(bad_count, 0), 0), 12
        ) as risk,
        round(1 - cast(trusted_count as double) / block_count, 12) as masked,
        round(
            1 - cast(trusted_count - missed_count as double) / nullif(block_count - bad_count, 0),
            12
        ) as good_masked
    from masked

),

gathered as (

    select
        {{ keys | join(', ') }}
        {%- for name in measures %},
        list({{ name }} order by cluster_id) as {{ name }}_patients
        {%- endfor %},
        {{ ordered_mean('good_masked', 'cluster_id') }} as good_masked_mean
    from shared
    group by {{ keys | join(', ') }}

),

measured as (

    select
        *
        {%- for name in measures %},
        list_sum({{ name }}_patients) / len({{ name }}_patients) as {{ name }}_mean
        {%- endfor %}
    from gathered

),

spread as (

    select
        *
        {%- for name in measures %},
        case
            when len({{ name }}_patients) >= {{ constant('least_tested') }}
                then nullif({{ standard_error(name ~ '_patients', name ~ '_mean') }}, 0)
        end as {{ name }}_error
        {%- endfor %}
    from measured

),

skewed as (

    select
        *
        {%- for name in measures %},
        {{ skew_of_mean(name ~ '_patients', name ~ '_mean', name ~ '_error') }} as {{ name }}_skew
        {%- endfor %}
    from spread

),

ranged as (

    select
        {%- for key in keys %}
        skewed.{{ key }},
        {%- endfor %}
        skewed.good_masked_mean,
        {%- for name in measures %}
        skewed.{{ name }}_mean,
        {%- set own = 'skewed.' ~ name %}
        {%- for end in interval_ends() %}
        {{ skewed_end(own ~ '_mean', own ~ '_error', 'student.t_limit', own ~ '_skew', end) }}
            as {{ name }}_{{ end }}{{ ',' if not loop.last }}
        {%- endfor %}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from skewed
    left join student on len(skewed.risk_patients) - 1 = student.df

),

final as (

    select
        {%- for key in keys %}
        limits.{{ key }},
        {%- endfor %}
        limits.unit,
        limits.loss_limit_dn2,
        limits.limit_source,
        limits.cluster_unit,
        limits.cluster_count,
        limits.limit_cluster_count,
        limits.block_count,
        limits.bad_block_count,
        cast(limits.scored_block_count as double) / limits.block_count as scored_ratio,
        {{ trust_limit('limits.limit_level', 'limits.unit') }} as limit_score,
        limits.bound_ratio
        {%- for name in measures %},
        ranged.{{ name }}_mean as {{ name }}_ratio,
        case
            when ranged.{{ name }}_low is not null then greatest(0, least(1, ranged.{{ name }}_low))
        end as {{ name }}_low_ratio,
        case
            when ranged.{{ name }}_high is not null
                then greatest(0, least(1, ranged.{{ name }}_high))
        end as {{ name }}_high_ratio
        {%- endfor %},
        ranged.good_masked_mean as good_masked_ratio,
        limits.limit_source is not null as is_attainable,
        case
            when limits.obstacle is not null then limits.obstacle
            when limits.bad_block_count = 0 then 'no block is bad: nothing could be missed'
            when limits.limit_level = 0
                then 'every block is masked: no limit of the grid keeps the bound'
        end as reason
    from limits
    left join ranged
        on
        {%- for key in keys %}
        {{ 'and ' if not loop.first }}limits.{{ key }} = ranged.{{ key }}
        {%- endfor %}

)

select * from final
