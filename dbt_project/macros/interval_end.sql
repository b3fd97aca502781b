{#- One end of a 95 % cluster bootstrap interval: the percentile, stretched about the estimate.
    Percentiles of n clusters are too narrow by sqrt((n - 1) / n), and take a normal quantile for
    Student's (Hesterberg 2015, doi:10.1080/00031305.2015.1089789). Arguments: SQL of the estimate,
    of the percentile, of the number of clusters behind them; the name of a joined row of
    int_student_limits at one less; the least and greatest value there can be. Result: NULL with
    fewer than min_clusters, and where estimate or percentile is (least and greatest skip NULL). -#}
{% macro interval_end(estimate, percentile, clusters, limits, least=none, greatest=none) -%}
    case
            when {{ clusters }} >= {{ var('min_clusters') }}
                and {{ estimate }} is not null and {{ percentile }} is not null
                then {{ 'greatest(' ~ least ~ ', ' if least is not none -}}
                {{ 'least(' ~ greatest ~ ', ' if greatest is not none -}}
                {{ estimate }} + {{ limits }}.stretch * ({{ percentile }} - {{ estimate }})
                {{- ')' if greatest is not none }}{{ ')' if least is not none }}
        end
{%- endmacro %}
