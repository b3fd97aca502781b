{#- The 2.5 % point of each beta distribution that an interval of Clopper and Pearson needs: of
    (k, n - k + 1) it is the lower end for k of n, of (n - k, k + 1) what the upper end lies below
    1. The logarithm of the distribution function is concave in that of its argument where b >= 1:
    Newton's steps, begun where the leading term alone reaches the point, only ever rise to it. -#}
{%- set level = 'ln(cast(' ~ interval_ends().low ~ ' as double))' -%}
{%- set ln_beta = '(lgamma(a) + lgamma(b) - lgamma(a + b))' -%}
with recursive flags as (

    select * from {{ ref('int_flag_counts') }}

),

states as (

    select * from {{ ref('int_tier3_shares') }}

),

consistency as (

    select * from {{ ref('int_consistency_shares') }}

),

patches as (

    select * from {{ ref('int_sfrc_shares') }}

),

shams as (

    select * from {{ ref('int_sham_shares') }}

),

alarms as (

    select * from {{ ref('int_detector_alarms') }}

),

findings as (

    select * from {{ ref('int_detector_findings') }}

),

free_findings as (

    select * from {{ ref('int_free_response_findings') }}

),

rules as (

    select * from {{ ref('int_rule_shares') }}

),

reading_flips as (

    select * from {{ ref('int_reading_flips') }}

),

localisations as (

    select * from {{ ref('int_localisation_shares') }}

),

counts as (

    {%- for relation in [
        'flags', 'states', 'consistency', 'patches', 'shams', 'alarms', 'findings',
        'free_findings', 'rules', 'reading_flips', 'localisations'
    ] %}
    select
        effective_flagged,
        effective_count
    from {{ relation }}
    {%- if not loop.last %}
    union
    {%- endif %}
    {%- endfor %}

),

shapes as (

    select
        effective_flagged as a,
        effective_count - effective_flagged + 1 as b
    from counts
    where effective_flagged > 0
    union
    select
        effective_count - effective_flagged as a,
        effective_flagged + 1 as b
    from counts
    where effective_flagged < effective_count

),

refined as (

    select
        a,
        b,
        0 as step,
        ({{ level }} + {{ ln_beta }} + ln(a)) / a as ln_point,
        cast(1 as double) as change
    from shapes

    union all

    (
        with reached as (

            select
                a,
                b,
                step,
                ln_point,
                ln(1 - exp(ln_point)) as ln_complement,
                {{ ln_beta_regularised('exp(ln_point)', '(1 - exp(ln_point))', 'a', 'b') }}
                    as ln_share
            from refined
            where step < 60 and change > 1e-12

        )

        -- d ln I / d ln x = x f(x) / I(x)
        select
            a,
            b,
            step + 1 as step,
            ln_point + ({{ level }} - ln_share)
            / exp(a * ln_point + (b - 1) * ln_complement - {{ ln_beta }} - ln_share) as ln_point,
            ({{ level }} - ln_share)
            / exp(a * ln_point + (b - 1) * ln_complement - {{ ln_beta }} - ln_share) as change
        from reached
    )

),

final as (

    select
        a,
        b,
        exp(arg_max(ln_point, step)) as point
    from refined
    group by a, b

)

select * from final
