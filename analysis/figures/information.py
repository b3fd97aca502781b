"""Figure of what each rule's flags say, as a table to be read at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_text
from upscale_audit.analysis.figures.rules import (
    CURRENT,
    POPULATIONS,
    make_title,
    place_rules,
    read_rules,
    shorten_rule,
)
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    import altair as alt

    from upscale_audit.analysis.marts import Marts


TITLE = "Which flags carry information"
ROW_PT, GROUP_GAP_PT, HEAD_PT = 11, 5, 24
RATE_PT, SOLE_PT, NEAREST_PT, VERDICT_PT = 70, 28, 92, 48.5
BAR_PT = 24
# Assessments of mart_rule_information: words that fit a cell, cell and text colour.
ASSESSMENTS = {
    "carries information": ("informative", theme.BLUE, "#FFFFFF"),
    "rate fixed by construction": ("fixed rate", "#F7DC9C", theme.BLACK),
    "describes the image, not a change": ("content only", "#DCE9F2", theme.BLACK),
    "never fires": ("never fires", "#F0F0F0", theme.GREY),
    "not evaluated": ("not evaluated", "#FFFFFF", theme.GREY),
}
DUPLICATE = ("duplicate", "#EBCFDF", theme.BLACK)


def draw_rule_information(marts: Marts, source: str) -> alt.LayerChart:
    """Draw what `mart_rule_information` says of each current rule.

    Parameters
    ----------
    marts : analysis.marts.Marts
    source : str
        source_id of `mart_rule_information`.

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select population, rule_id, assessment, image_count, evaluated_count, flagged_count,"
        " sole_ratio, nearest_rule_id, nearest_jaccard_ratio"
        f" from mart_rule_information where source_id = {quote_text(source)}"
        f" and rule_set = {quote_text(CURRENT)} order by population, rule_id"
    )
    cells = {(row["population"], row["rule_id"]): row for row in rows}
    populations = [name for name in POPULATIONS if any(key[0] == name for key in cells)]
    rules = read_rules(marts)
    pooled = [row for row in rows if row["population"] == "pooled"]
    counts = theme.count_span([row["image_count"] for row in pooled] or [0], "restored image")
    caption = [
        f"Rules of {CURRENT}, n = {counts} of all models and inference paths; rate, share alone"
        f" and nearest rule with thresholds {POPULATIONS['pooled']}.",
        "Alone: share of a rule's flags on images that no other rule flags. Nearest: the rule that"
        " fires most alike, with both over either (Jaccard, 0 to 1).",
        "Fixed rate: one quantile of the same images as threshold flags that share of them whatever"
        " they are (tick). Content only: no metric of the rule looks at the reference, so it"
        " describes the image, not a change. Duplicate: flags exactly the images that another rule"
        " flags.",
        _explain_populations(populations),
    ]
    return _draw_table(rules, cells, populations, make_title(TITLE, source, caption))


def _explain_populations(populations: Sequence[str]) -> str:
    named = [f"{name.replace('_', ' ')}: {POPULATIONS[name]}" for name in populations[1:]]
    return f"Thresholds {'; '.join(named)}." if named else ""


def _draw_table(
    rules: Sequence[dict[str, Any]],
    cells: Mapping[tuple[str, str], Mapping[str, Any]],
    populations: Sequence[str],
    title: alt.TitleParams,
) -> alt.LayerChart:
    left = 8 + max(0.5 * theme.TEXT_PT * len(rule["label"]) for rule in rules)
    places = place_rules(rules, HEAD_PT, ROW_PT, GROUP_GAP_PT)
    starts = [left, left + RATE_PT, left + RATE_PT + SOLE_PT]
    starts += [starts[2] + NEAREST_PT + VERDICT_PT * n for n in range(len(populations) + 1)]
    canvas = Canvas()
    canvas.add_boxes(
        [
            make_box(0, middle - ROW_PT / 2, starts[-1], ROW_PT, "#F6F6F6")
            for middle in list(places.values())[::2]
        ]
    )
    labels = [make_text(left - 6, places[rule["rule_id"]], rule["label"]) for rule in rules]
    canvas.add_texts(labels, align="right")
    pooled = {rule: row for (population, rule), row in cells.items() if population == "pooled"}
    _draw_rates(canvas, rules, pooled, places, left)
    _draw_numbers(canvas, rules, pooled, places, starts)
    _draw_assessments(canvas, cells, populations, places, starts[3:])
    heads = [("Flagged of evaluated", starts[0]), ("Alone", starts[1] + 3), ("Nearest", starts[2])]
    heads += [
        (name.replace("_", " "), start + 2)
        for name, start in zip(populations, starts[3:], strict=False)
    ]
    texts = [make_text(x, HEAD_PT - 6, text) for text, x in heads]
    texts.append(make_text(starts[3] + 2, HEAD_PT - 16, "Assessment, with thresholds"))
    canvas.add_texts(texts)
    line = make_box(0, HEAD_PT - 1, starts[-1], 0, "#888888")
    canvas.add_lines([line], 0.5)
    height = max(places.values()) + ROW_PT / 2 + 1
    return canvas.draw(max(starts[-1], 380), height, title)


def _draw_rates(
    canvas: Canvas,
    rules: Sequence[dict[str, Any]],
    rows: Mapping[str, Mapping[str, Any]],
    places: Mapping[str, float],
    left: float,
) -> None:
    """Draw the flagged share as a bar, its fixed rate as a tick, and the counts behind it."""
    bars, ticks, texts = [], [], []
    shares = [row["flagged_count"] / (row["evaluated_count"] or 1) for row in rows.values()]
    fixed = [rule["nominal_ratio"] or 0 for rule in rules]
    scale = BAR_PT / max([0.01, *shares, *fixed])
    for rule in rules:
        row, y = rows.get(rule["rule_id"]), places[rule["rule_id"]]
        if row is None or not row["evaluated_count"]:
            texts.append(make_text(left + BAR_PT + 3, y, "\u2013", theme.GREY))
            continue
        share = row["flagged_count"] / row["evaluated_count"]
        bars.append(make_box(left, y - 3.5, scale * share, 7, theme.SKY))
        if rule["nominal_ratio"]:
            ticks.append(make_box(left + scale * rule["nominal_ratio"], y - 5, 0, 10, theme.BLACK))
        text = f"{row['flagged_count']}/{row['evaluated_count']}"
        texts.append(make_text(left + BAR_PT + 3, y, text))
    canvas.add_boxes(bars)
    canvas.add_lines(ticks, 1)
    canvas.add_texts(texts)


def _draw_numbers(
    canvas: Canvas,
    rules: Sequence[dict[str, Any]],
    rows: Mapping[str, Mapping[str, Any]],
    places: Mapping[str, float],
    starts: Sequence[float],
) -> None:
    short = {rule["rule_id"]: shorten_rule(rule) for rule in rules}
    alone, nearest = [], []
    for name, row in rows.items():
        if not row["flagged_count"]:
            continue
        y = places[name]
        alone.append(make_text(starts[2] - 8, y, f"{100 * row['sole_ratio']:.0f} %"))
        if row["nearest_rule_id"] is not None:
            text = f"{row['nearest_jaccard_ratio']:.2f} {short[row['nearest_rule_id']]}"
            nearest.append(make_text(starts[2], y, text))
    canvas.add_texts(alone, align="right")
    canvas.add_texts(nearest)


def _draw_assessments(
    canvas: Canvas,
    cells: Mapping[tuple[str, str], Mapping[str, Any]],
    populations: Sequence[str],
    places: Mapping[str, float],
    starts: Sequence[float],
) -> None:
    boxes, texts = [], []
    for population, x in zip(populations, starts, strict=False):
        for rule, y in places.items():
            row = cells.get((population, rule))
            if row is None:
                continue
            text, fill, colour = ASSESSMENTS.get(row["assessment"], DUPLICATE)
            boxes.append(make_box(x, y - ROW_PT / 2, VERDICT_PT, ROW_PT, fill))
            texts.append(make_text(x + VERDICT_PT / 2, y, text, colour))
    canvas.add_boxes(boxes, stroke="#FFFFFF", stroke_width=1)
    canvas.add_texts(texts, align="center", size=6.5)
