"""Figure of which rules fire together: exact combinations as bars over a matrix of dots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_point, make_text
from upscale_audit.analysis.figures.rules import (
    COLOURS,
    CURRENT,
    POPULATIONS,
    label_classes,
    make_title,
    name_class,
    place_rules,
    read_least_counts,
    read_rules,
)
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    import altair as alt

    from upscale_audit.analysis.marts import Marts


TITLE = "Which rules fire together"
MOST_COMBINATIONS = 18
BAR_PT, COLUMN_PT, ROW_PT, GROUP_GAP_PT, TOTAL_PT = 80, 12.75, 9.5, 5, 42


def draw_rule_overlap(marts: Marts, source: str) -> alt.LayerChart:
    """Draw the most frequent exact combinations of rules, and the total of each rule.

    Parameters
    ----------
    marts : analysis.marts.Marts
    source : str
        source_id of `fct_rule_flags`.

    Returns
    -------
    altair.TopLevelMixin
    """
    where = (
        f" from fct_rule_flags where rule_set = {quote_text(CURRENT)} and population = 'pooled'"
        f" and source_id = {quote_text(source)}"
    )
    images = marts.rows(
        "select list(rule_id order by rule_id) filter (where is_flagged) as rule_ids,"
        f" count(is_flagged) as evaluated_count {where}"
        " group by model_id, inference_path, image_id order by model_id, inference_path, image_id"
    )
    totals = {
        row["rule_id"]: row
        for row in marts.rows(
            "select rule_id, count(is_flagged) as evaluated_count,"
            f" count(*) filter (where is_flagged) as flagged_count {where} group by rule_id"
            " order by rule_id"
        )
    }
    rules = read_rules(marts)
    ranked, none = _rank_combinations(images, [rule["rule_id"] for rule in rules])
    drawn = ranked[:MOST_COMBINATIONS]
    title = make_title(TITLE, source, _describe(images, ranked, none, totals))
    if not drawn:
        return theme.draw_message(f"{TITLE}: {source}", [], "No rule fired on any image.")
    classes = read_least_counts(marts)
    return _draw_matrix(drawn, rules, totals, (classes, len(images)), title)


def _rank_combinations(
    images: Sequence[Mapping[str, Any]], rule_ids: Sequence[str]
) -> tuple[list[tuple[tuple[str, ...], int]], int]:
    """Count exact combinations, the most frequent and then the smallest first; none apart."""
    order = {rule: number for number, rule in enumerate(rule_ids)}
    counts = Counter(tuple(sorted(row["rule_ids"] or [], key=order.__getitem__)) for row in images)
    none = counts.pop((), 0)
    ranked = sorted(
        counts.items(),
        key=lambda item: (-item[1], len(item[0]), [order[rule] for rule in item[0]]),
    )
    return ranked, none


def _describe(
    images: Sequence[Mapping[str, Any]],
    ranked: Sequence[tuple[tuple[str, ...], int]],
    none: int,
    totals: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    shown = ranked[:MOST_COMBINATIONS]
    covered = sum(count for _, count in shown)
    partial = any(row["evaluated_count"] < len(images) for row in totals.values())
    which = (
        f"the {len(shown)} most frequent of {len(ranked)}" if len(ranked) > len(shown) else "all"
    )
    return [
        f"Rules of {CURRENT}, thresholds {POPULATIONS['pooled']};"
        f" n = {theme.count_noun(len(images), 'restored image')}, all models and inference paths.",
        "Above: images on which exactly the rules marked below fired, no other;"
        f" {which} combinations, on {theme.count_noun(covered, 'image')}.",
        f"No rule fired on {theme.count_noun(none, 'image')} (not drawn).",
        "Right: all images that a rule flags, of those on which it could be evaluated.",
        "In a combination, a rule that could not be evaluated is one that did not fire."
        if partial
        else "",
    ]


def _draw_matrix(
    drawn: Sequence[tuple[tuple[str, ...], int]],
    rules: Sequence[dict[str, Any]],
    totals: Mapping[str, Mapping[str, Any]],
    images: tuple[dict[str, int], int],
    title: alt.TitleParams,
) -> alt.LayerChart:
    classes, image_count = images
    left = 8 + max(0.5 * theme.TEXT_PT * len(rule["label"]) for rule in rules)
    right = left + COLUMN_PT * len(drawn)
    top = BAR_PT + 18
    places = place_rules(rules, top, ROW_PT, GROUP_GAP_PT)
    canvas = Canvas()
    width = theme.DOUBLE_COLUMN_PT - 12
    canvas.add_boxes(
        [
            make_box(left, middle - ROW_PT / 2, right + 8 + TOTAL_PT - left, ROW_PT, "#F6F6F6")
            for middle in list(places.values())[::2]
        ]
    )
    _draw_bars(canvas, drawn, classes, (left, top))
    _draw_dots(canvas, drawn, places, left)
    _draw_totals(canvas, rules, totals, places, (left, right + 8, image_count))
    _draw_key(canvas, drawn, classes, max(right + 8, left + 20))
    return canvas.draw(width, max(places.values()) + ROW_PT, title)


def _draw_bars(
    canvas: Canvas,
    drawn: Sequence[tuple[tuple[str, ...], int]],
    classes: Mapping[str, int],
    corner: tuple[float, int],
) -> None:
    left, top = corner
    most = max(count for _, count in drawn)
    bars, texts = [], []
    for number, (names, count) in enumerate(drawn):
        x, height = left + COLUMN_PT * number, BAR_PT * count / most
        colour = COLOURS[name_class(len(names), classes)]
        bars.append(make_box(x + 2.5, top - 5 - height, COLUMN_PT - 5, height, colour))
        texts.append(make_text(x + COLUMN_PT / 2, top - 5 - height - 5, f"{count:,}"))
    canvas.add_boxes(bars, stroke="#666666")
    canvas.add_texts(texts, align="center")
    canvas.add_texts([make_text(left - 4, top - 5 - BAR_PT / 2, "Images")], align="right")


def _draw_dots(
    canvas: Canvas,
    drawn: Sequence[tuple[tuple[str, ...], int]],
    places: Mapping[str, float],
    left: float,
) -> None:
    empty, dots, links = [], [], []
    for number, (names, _) in enumerate(drawn):
        x = left + COLUMN_PT * (number + 0.5)
        empty += [
            make_point(x, middle, "#DEDEDE") for rule, middle in places.items() if rule not in names
        ]
        dots += [make_point(x, places[name], theme.BLACK) for name in names]
        ends = [places[name] for name in names]
        links.append(make_box(x, min(ends), 0, max(ends) - min(ends), theme.BLACK))
    canvas.add_points(empty, 16, stroke=None)
    canvas.add_lines(links, 1.2)
    canvas.add_points(dots, 18, stroke=None)


def _draw_totals(
    canvas: Canvas,
    rules: Sequence[dict[str, Any]],
    totals: Mapping[str, Mapping[str, Any]],
    places: Mapping[str, float],
    layout: tuple[float, float, int],
) -> None:
    left, start, image_count = layout
    most = max((row["flagged_count"] for row in totals.values()), default=0) or 1
    labels, bars, texts = [], [], []
    for rule in rules:
        y = places[rule["rule_id"]]
        row = totals.get(rule["rule_id"], {"evaluated_count": 0, "flagged_count": 0})
        known = row["evaluated_count"] > 0
        colour = theme.BLACK if known else theme.GREY
        labels.append(make_text(left - 4, y, rule["label"], colour))
        if not known:
            texts.append(make_text(start + 3, y, "not evaluated", theme.GREY))
            continue
        size = TOTAL_PT * row["flagged_count"] / most
        bars.append(make_box(start, y - 3, size, 6, theme.SKY))
        share = f"{100 * row['flagged_count'] / row['evaluated_count']:.0f} %"
        part = row["evaluated_count"] < image_count
        text = f" of {row['evaluated_count']:,}" if part else f" ({share})"
        texts.append(make_text(start + size + 3, y, f"{row['flagged_count']:,}{text}"))
    canvas.add_boxes(bars)
    canvas.add_texts(labels, align="right")
    canvas.add_texts(texts)
    canvas.add_texts([make_text(start, min(places.values()) - ROW_PT, "Images flagged")])


def _draw_key(
    canvas: Canvas,
    drawn: Sequence[tuple[tuple[str, ...], int]],
    classes: Mapping[str, int],
    x: float,
) -> None:
    used = {name_class(len(names), classes) for names, _ in drawn}
    labels = label_classes(classes)
    entries = [(COLOURS[name], label) for name, label in labels.items() if name in used]
    canvas.add_boxes(
        [make_box(x, 10 + 11 * number, 8, 7, colour) for number, (colour, _) in enumerate(entries)],
        stroke="#666666",
    )
    texts = [
        make_text(x + 12, 13.5 + 11 * number, text) for number, (_, text) in enumerate(entries)
    ]
    canvas.add_texts([make_text(x, 3, "Verdict class"), *texts])
