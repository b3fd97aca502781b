{#- Tail probabilities in plain SQL: DuckDB has lgamma, but no erfc and no incomplete beta. Each
    is a continued fraction or series of fixed depth, evaluated from its far end by
    list_reduce, so rows do not differ in what is computed. scipy is the tests' oracle: relative
    error below 1e-9 for up to 100,000 degrees of freedom, and p far below 1e-300 as its
    logarithm. -#}

{#- Natural logarithm of the regularised incomplete beta function I_x(a, b) (NIST DLMF
    8.17.22). Arguments: SQL of x, of 1 - x (given apart, for precision near 1), of a > 0 and
    b > 0. Result: DOUBLE <= 0; NULL outside 0 < x < 1 and with NULL arguments. -#}
{% macro ln_beta_regularised(x, complement, a, b) -%}
    case
        when {{ x }} > 0 and {{ complement }} > 0 and {{ a }} > 0 and {{ b }} > 0
            then case
                when {{ x }} * ({{ a }} + {{ b }} + 2) < {{ a }} + 1
                    then {{ _ln_beta_fraction(x, complement, a, b) }}
                else ln(1 - least(1, exp({{ _ln_beta_fraction(complement, x, b, a) }})))
            end
    end
{%- endmacro %}

{% macro _ln_beta_fraction(x, complement, a, b) -%}
    lgamma({{ a }} + {{ b }}) - lgamma({{ a }}) - lgamma({{ b }})
    + {{ a }} * ln({{ x }}) + {{ b }} * ln({{ complement }}) - ln({{ a }})
    - ln(list_reduce(
        list_transform(range(1000, 0, -1), lambda step: cast(step as double)),
        lambda rest, step: 1 + {{ x }} / (({{ a }} + step - 1) * ({{ a }} + step)) * (
            case
                when step % 2 = 0 then step / 2 * ({{ b }} - step / 2)
                else -({{ a }} + (step - 1) / 2) * ({{ a }} + {{ b }} + (step - 1) / 2)
            end
        ) / rest,
        cast(1 as double)
    ))
{%- endmacro %}

{#- Two-sided p of Student's t. Arguments: SQL of t and of the degrees of freedom. Result:
    0..1; NULL with NULL arguments or less than one degree of freedom. -#}
{% macro student_p(t, df) -%}
    case
        when {{ df }} < 1 then null
        when {{ t }} = 0 then 1
        else exp({{ ln_beta_regularised(
            'cast(' ~ df ~ ' / (' ~ df ~ ' + (' ~ t ~ ') * (' ~ t ~ ')) as double)',
            'cast((' ~ t ~ ') * (' ~ t ~ ') / (' ~ df ~ ' + (' ~ t ~ ') * (' ~ t ~ ')) as double)',
            '(' ~ df ~ ' / 2)',
            '(cast(0.5 as double))'
        ) }})
    end
{%- endmacro %}

{#- Upper tail P(X >= count) of a binomial, as its natural logarithm. Arguments: SQL of the
    count, of the number of trials and of the probability. Result: <= 0; NULL with NULL
    arguments. -#}
{% macro ln_binomial_tail(count, trials, probability) -%}
    case
        when {{ count }} = 0 and {{ trials }} >= 0 and {{ probability }} is not null then 0
        else {{ ln_beta_regularised(
            '(' ~ probability ~ ')',
            '(1 - (' ~ probability ~ '))',
            'cast(' ~ count ~ ' as double)',
            '(cast(' ~ trials ~ ' as double) - ' ~ count ~ ' + 1)'
        ) }}
    end
{%- endmacro %}

{#- p of chi-square with one degree of freedom, erfc(sqrt(chi2 / 2)): a series below 8, a
    continued fraction above (NIST DLMF 7.6.2, 7.9.1). Argument: SQL of chi-square. Result:
    0..1; NULL where it is NULL or negative. -#}
{% macro chi_square_p(chi_square) -%}
    case
        when {{ chi_square }} < 0 then null
        when {{ chi_square }} < 8
            then 1 - sqrt(2 * {{ chi_square }} / pi()) * exp(-{{ chi_square }} / 2) * list_reduce(
                list_transform(range(60, 0, -1), lambda step: cast(step as double)),
                lambda rest, step: 1 + {{ chi_square }} / (2 * step + 1) * rest,
                cast(1 as double)
            )
        else exp(-{{ chi_square }} / 2) / sqrt(pi()) / list_reduce(
            list_transform(range(200, 0, -1), lambda step: cast(step as double)),
            lambda rest, step: sqrt({{ chi_square }} / 2) + step / 2 / rest,
            sqrt({{ chi_square }} / 2)
        )
    end
{%- endmacro %}

{#- Two-sided 95 % point of Student's t by its expansion in 1/df (Abramowitz & Stegun 26.7.5): exact
    to 1e-9 from 200 on, to 1e-3 from 5 on. Argument: SQL of the degrees of freedom, a double. -#}
{% macro student_expansion(df) -%}
    {%- set z = 'cast(' ~ constant('normal_limit') ~ ' as double)' -%}
    {{ z }}
        + (pow({{ z }}, 3) + {{ z }}) / (4 * {{ df }})
        + (5 * pow({{ z }}, 5) + 16 * pow({{ z }}, 3) + 3 * {{ z }}) / (96 * pow({{ df }}, 2))
        + (
            3 * pow({{ z }}, 7) + 19 * pow({{ z }}, 5) + 17 * pow({{ z }}, 3) - 15 * {{ z }}
        ) / (384 * pow({{ df }}, 3))
        + (
            79 * pow({{ z }}, 9) + 776 * pow({{ z }}, 7) + 1482 * pow({{ z }}, 5)
            - 1920 * pow({{ z }}, 3) - 945 * {{ z }}
        ) / (92160 * pow({{ df }}, 4))
{%- endmacro %}
