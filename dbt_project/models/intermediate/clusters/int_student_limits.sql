{#- Two-sided 95 % point of Student's t for each number of images or clusters less one: expansion in
    1/df (Abramowitz & Stegun 26.7.5), exact to 1e-9 from 200 on; below, Newton steps on the exact
    tail. -#}
{%- set z = 'cast(1.959963984540054 as double)' -%}
with recursive degrees as (

    select cast(unnest(range(1, count(*) + 1)) as double) as df
    from {{ ref('int_clusters') }}

),

expanded as (

    select
        df,
        {{ z }}
        + (pow({{ z }}, 3) + {{ z }}) / (4 * df)
        + (5 * pow({{ z }}, 5) + 16 * pow({{ z }}, 3) + 3 * {{ z }}) / (96 * pow(df, 2))
        + (
            3 * pow({{ z }}, 7) + 19 * pow({{ z }}, 5) + 17 * pow({{ z }}, 3) - 15 * {{ z }}
        ) / (384 * pow(df, 3))
        + (
            79 * pow({{ z }}, 9) + 776 * pow({{ z }}, 7) + 1482 * pow({{ z }}, 5)
            - 1920 * pow({{ z }}, 3) - 945 * {{ z }}
        ) / (92160 * pow(df, 4)) as t_limit
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
        t_limit + ({{ student_p('t_limit', 'df') }} - 0.05) / (
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
