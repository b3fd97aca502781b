{#- Two-sided 95 % point of Student's t for each number of images or clusters less one: by its
    expansion from 200 on; below, Newton steps on the exact tail. -#}
{%- set z = 'cast(' ~ constant('normal_limit') ~ ' as double)' -%}
with recursive degrees as (

    select cast(unnest(range(1, count(*) + 1)) as double) as df
    from {{ ref('int_clusters') }}

),

expanded as (

    select
        df,
        {{ student_expansion('df') }} as t_limit
    from degrees

),

refined as (

    select
        df,
        0 as step,
        cast(t_limit as double) as t_limit
    from expanded
    where df < 200
    union all
    select
        df,
        step + 1 as step,
        t_limit + ({{ student_p('t_limit', 'df') }} - {{ 2 * interval_ends().low }}) / (
            2 * exp(lgamma((df + 1) / 2) - lgamma(df / 2)) / sqrt(pi() * df)
            * pow(1 + t_limit * t_limit / df, -(df + 1) / 2)
        ) as t_limit
    from refined
    where step < 6

),

limits as (

    select df, t_limit from refined
    where step = 6
    union all
    select df, t_limit from expanded
    where df >= 200

),

-- What a percentile interval of df + 1 clusters is stretched by (macro interval_end).
final as (

    select
        cast(df as integer) as df,
        t_limit,
        t_limit / {{ z }} * sqrt((df + 1) / df) as stretch
    from limits

)

select * from final
