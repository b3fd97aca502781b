{#- Readers (definitions E.16): what networks say of images, and where. -#}

{#- Columns that name what a reader says of a model: over images. -#}
{% macro reading_groups() %}
    {{ return(['reader', 'model_id', 'inference_path', 'finding']) }}
{% endmacro %}

{#- Columns that name a reading. -#}
{% macro reading_keys() %}
    {{ return(['reader', 'subject', 'model_id', 'inference_path', 'image_id', 'finding']) }}
{% endmacro %}

{#- Columns that name how a reader's boxes are held against those of a finding. -#}
{% macro localisation_groups() %}
    {{ return(reading_groups() + ['map_level', 'overlap', 'overlap_pct']) }}
{% endmacro %}

{#- Levels of a map, of 255, that its boxes surround; 0 stands for both together. -#}
{% macro map_levels() %}{{ return([0, 60, 180]) }}{% endmacro %}

{#- Shares of overlap that a box needs more of (Wang et al. 2017, table 3), in per cent. -#}
{% macro overlap_levels() %}{{ return([10, 25, 50, 75, 90]) }}{% endmacro %}

{#- By the name of an overlap, what the shared area is divided by: all that either covers, or what
    the reader's box covers. -#}
{% macro overlaps() %}{{ return({'iou': 'union_px2', 'iobb': 'predicted_px2'}) }}{% endmacro %}

{#- Two-sided p of a sum of clusters' changes where each might as well have had the other sign: of
    all ways to give signs, the share whose sum is as far from 0 or farther. With changes of 1 it is
    McNemar's exact test. Of more clusters than `most_permuted` its limit, chi-square. Arguments:
    names of columns with the sizes of those changes that are not 0, a list of DOUBLE, and with
    their sum. Result: 0..1; 1 where nothing changed. -#}
{% macro sign_flip_p(sizes, total) -%}
    case
        when len({{ sizes }}) = 0 then 1
        when len({{ sizes }}) > {{ constant('most_permuted') }}
            then {{ chi_square_p(
                '(cast(' ~ total ~ ' * ' ~ total ~ ' as double)'
                ~ ' / list_sum(list_transform(' ~ sizes ~ ', lambda size: size * size)))'
            ) }}
        else list_sum(list_transform(
            {{ _subset_sums(sizes) }},
            lambda share, place: case
                when abs(2 * (place - 1) - list_sum({{ sizes }})) >= abs({{ total }}) then share
                else 0
            end
        ))
    end
{%- endmacro %}

{#- How likely each sum is of sizes of which each counts or not with one half: from 0 upwards. -#}
{% macro _subset_sums(sizes) -%}
    list_reduce(
        list_transform({{ sizes }}, lambda size: [size]),
        lambda shares, size: list_transform(
            range(1, cast(len(shares) + size[1] + 1 as bigint)),
            lambda place: (
                case when place <= len(shares) then shares[place] else 0 end
                + case when place > size[1] then shares[cast(place - size[1] as bigint)] else 0 end
            ) / 2
        ),
        [cast(1 as double)]
    )
{%- endmacro %}

{#- Variance of a ratio of two sums over clusters, by linearisation. Arguments: names of columns
    with whole numbers: sums over clusters of the part, of the whole, of part times part, part times
    whole and whole times whole; and the number of clusters. Result: DOUBLE >= 0; NULL of one
    cluster or nothing. -#}
{% macro ratio_variance(part, whole, parts, products, wholes, clusters) -%}
    cast(
            {{ whole }} * {{ whole }} * {{ parts }}
            - 2 * {{ part }} * {{ whole }} * {{ products }}
            + {{ part }} * {{ part }} * {{ wholes }}
            as double
        )
        / nullif(pow(cast({{ whole }} as double), 4), 0)
        * {{ clusters }} / nullif({{ clusters }} - 1, 0)
{%- endmacro %}

{#- k of a ratio of two sums over clusters (macros/skewed_means.sql), of the same linear terms as its
    variance. Arguments: names of columns: sums over clusters of the part, of the whole, and of part
    and whole multiplied three at a time, whole numbers; the standard error, > 0; the number of
    clusters. Result: DOUBLE; NULL of two clusters, or where the error is. -#}
{% macro ratio_skew(part, whole, ppp, ppw, pww, www, error, clusters) -%}
    cast(
            {{ whole }} * {{ whole }} * {{ whole }} * {{ ppp }}
            - 3 * {{ part }} * {{ whole }} * {{ whole }} * {{ ppw }}
            + 3 * {{ part }} * {{ part }} * {{ whole }} * {{ pww }}
            - {{ part }} * {{ part }} * {{ part }} * {{ www }}
            as double
        )
        / pow(cast({{ whole }} as double), 6) / pow({{ error }}, 3)
        * {{ clusters }} * {{ clusters }}
        / nullif(cast({{ clusters }} - 1 as double) * ({{ clusters }} - 2), 0)
{%- endmacro %}
