"""Figure of how often each rule fires, model by model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_point, make_text
from upscale_audit.analysis.figures.rules import (
    BASE_PATHS,
    CURRENT,
    POPULATIONS,
    make_title,
    place_rules,
    read_rules,
)
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    import altair as alt

    from upscale_audit.analysis.marts import Marts

    Marks = defaultdict[str, list[dict[str, Any]]]
    """Rows of a canvas, by what they show."""


TITLE = "How often each rule fires"
OVERALL = [
    {"rule_id": "any", "label": "At least one rule", "family": "overall", "nominal_ratio": None},
    {"rule_id": "high", "label": "Five rules or more", "family": "overall", "nominal_ratio": None},
]
EVIDENCE = {
    "no fixed rate": (theme.BLACK, "circle", "no rate fixed"),
    "above": (theme.VERMILLION, "triangle-up", "interval above the fixed rate"),
    "includes": ("#FFFFFF", "circle", "includes it"),
    "below": (theme.SKY, "triangle-down", "below it"),
    "no interval": (theme.NULL_GREY, "circle", "no interval"),
}
TICKS_PCT = (0, 10, 25, 50, 100)
ROW_PT, GROUP_GAP_PT, PANEL_GAP_PT, AXIS_PT = 9.5, 5, 9, 24
# Inside a panel's sides, so that a point at 0 or 100 % lies within it.
INSET_PT = 4
MOST_COLUMNS, WIDEST_PANEL_PT = 5, 180
NOT_EVALUATED = "not evaluated"


def draw_flag_rates(marts: Marts, source: str) -> alt.LayerChart:
    """Draw the share of images that each rule flags, by model, with intervals.

    Parameters
    ----------
    marts : analysis.marts.Marts
    source : str
        source_id of `mart_flag_rates`.

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select population, model_id, inference_path, rule_id, cluster_unit, cluster_count,"
        " evaluated_count, flagged_ratio as ratio, flagged_low_ratio as low,"
        f" flagged_high_ratio as high from mart_flag_rates where source_id = {quote_text(source)}"
        f" and inference_path in {BASE_PATHS} and population in ('frozen', 'pooled')"
        " order by population, model_id, inference_path, rule_id"
    )
    has_frozen = any(row["population"] == "frozen" for row in rows)
    population = "frozen" if has_frozen else "pooled"
    rows = [row for row in rows if row["population"] == population]
    if not rows:
        message = "No image was measured without test-time augmentation."
        return theme.draw_message(f"{TITLE}: {source}", [], message)
    rules = [*read_rules(marts), *OVERALL]
    nominal = {rule["rule_id"]: rule["nominal_ratio"] for rule in rules}
    for row in rows:
        row["evidence"] = _judge(row, nominal[row["rule_id"]])
    title = make_title(TITLE, source, _describe(rows, rules, population))
    models = marts.name_models(marts.order_models({row["model_id"] for row in rows}))
    return _draw_panels(models, rows, rules, title)


def _judge(row: Mapping[str, Any], nominal: float | None) -> str | None:
    if row["ratio"] is None:
        return None
    if row["low"] is None:
        return "no interval"
    if nominal is None:
        return "no fixed rate"
    # A rate that equals the fixed one is no departure, whatever the last digit.
    if row["low"] > nominal + 1e-9:
        return "above"
    return "below" if row["high"] < nominal - 1e-9 else "includes"


def _describe(
    rows: Sequence[dict[str, Any]], rules: Sequence[dict[str, Any]], population: str
) -> list[str]:
    rates = sorted({rule["nominal_ratio"] for rule in rules if rule["nominal_ratio"]})
    fixed = " or ".join(f"{100 * rate:g}" for rate in rates)
    counts = _count_images(rows)
    images = theme.count_span(list(counts.values()), "image")
    paths = {row["inference_path"] for row in rows}
    known = [row for row in rows if row["ratio"] is not None]
    meaning = {
        "pooled": "all models together reach it whatever they do, and only differences between"
        " models are free",
        "frozen": "the baseline reaches it, and another model departs from it by what it does",
    }[population]
    return [
        f"Share of a model's images that a rule of {CURRENT} flags (%, square-root scale),"
        f" {'restored without test-time augmentation, ' if paths == {'notta'} else ''}"
        f"n = {images} per model; thresholds {POPULATIONS[population]}.",
        f"Grey ticks: the {fixed} % that a rule of one quantile flags by construction ({meaning}).",
        theme.describe_intervals(known, "low", method="Korn and Graubard"),
        "Thresholds are held as they are.",
        "n beside a point: the images on which the rule could be evaluated, where not all."
        if any(row["evaluated_count"] < counts[row["model_id"]] for row in known)
        else "",
    ]


def _count_images(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["model_id"]] = max(row["evaluated_count"], counts.get(row["model_id"], 0))
    return counts


def _draw_panels(
    models: Mapping[str, str],
    rows: Sequence[dict[str, Any]],
    rules: Sequence[dict[str, Any]],
    title: alt.TitleParams,
) -> alt.LayerChart:
    bands = -(-len(models) // MOST_COLUMNS)
    columns = -(-len(models) // bands)
    left = 8 + max(0.5 * theme.TEXT_PT * len(rule["label"]) for rule in rules)
    room = (theme.DOUBLE_COLUMN_PT - 12 - left) / columns - PANEL_GAP_PT
    width = min(WIDEST_PANEL_PT, room)
    heads = {model: theme.break_label(name, int(width / 4)) for model, name in models.items()}
    head = 6 + (theme.TEXT_PT + 2) * max(text.count("\n") + 1 for text in heads.values())
    body = ROW_PT * len(rules) + GROUP_GAP_PT * (len({rule["family"] for rule in rules}) - 1)
    key = 14
    marks: Marks = defaultdict(list)
    for number, model in enumerate(models):
        x = left + (number % columns) * (width + PANEL_GAP_PT)
        y = key + (number // columns) * (head + body + AXIS_PT) + head
        marks["heads"].append(make_text(x + INSET_PT, y - head + 3, heads[model]))
        places = place_rules(rules, y, ROW_PT, GROUP_GAP_PT)
        _draw_frame(marks, places, (x, y, width, body))
        _draw_model(
            [row for row in rows if row["model_id"] == model], rules, places, x, width, marks
        )
        if number % columns == 0:
            for rule in rules:
                marks["labels"].append(make_text(left - 4, places[rule["rule_id"]], rule["label"]))
    _draw_key(marks, rows, 4)
    height = key + bands * (head + body + AXIS_PT)
    return _compose(marks).draw(theme.DOUBLE_COLUMN_PT - 12, height, title)


def _compose(marks: Marks) -> Canvas:
    canvas = Canvas()
    canvas.add_boxes(marks["bands"])
    canvas.add_lines(marks["lines"], 0.5)
    canvas.add_lines(marks["fixed"], 2)
    canvas.add_lines(marks["bars"], 1)
    canvas.add_points(marks["points"], 18)
    canvas.add_texts(marks["labels"], align="right")
    canvas.add_texts(marks["texts"])
    canvas.add_texts(marks["heads"], baseline="top")
    canvas.add_texts(marks["ticks"], align="center", size=6.2)
    return canvas


def _place(ratio: float, x: float, width: float) -> float:
    return x + INSET_PT + (width - 2 * INSET_PT) * math.sqrt(ratio)


def _draw_frame(marks: Marks, places: Mapping[str, float], frame: tuple[float, ...]) -> None:
    x, y, width, body = frame
    for middle in list(places.values())[::2]:
        marks["bands"].append(make_box(x, middle - ROW_PT / 2, width, ROW_PT, "#F6F6F6"))
    for tick in TICKS_PCT:
        place = _place(tick / 100, x, width)
        marks["lines"].append(make_box(place, y, 0, body, "#E2E2E2"))
        marks["ticks"].append(make_text(place, y + body + 7, str(tick)))
    marks["ticks"].append(make_text(x + width / 2, y + body + 15, "Images (%)"))


def _draw_model(
    rows: Sequence[dict[str, Any]],
    rules: Sequence[dict[str, Any]],
    places: Mapping[str, float],
    x: float,
    width: float,
    marks: Marks,
) -> None:
    images = max(row["evaluated_count"] for row in rows)
    known = {row["rule_id"]: row for row in rows}
    for rule in rules:
        row, y = known.get(rule["rule_id"]), places[rule["rule_id"]]
        if row is None or row["ratio"] is None:
            marks["texts"].append(make_text(x + INSET_PT, y, NOT_EVALUATED, theme.GREY))
            continue
        if rule["nominal_ratio"] is not None:
            fixed = _place(rule["nominal_ratio"], x, width)
            marks["fixed"].append(make_box(fixed, y - ROW_PT / 2, 0, ROW_PT, "#A6A6A6"))
        place = end = _place(row["ratio"], x, width)
        if row["low"] is not None:
            low, end = (_place(row[name], x, width) for name in ("low", "high"))
            marks["bars"].append(make_box(low, y, end - low, 0, theme.BLACK))
        fill, shape, _ = EVIDENCE[row["evidence"]]
        marks["points"].append(make_point(place, y, fill, shape))
        if row["evaluated_count"] < images:
            text = f"n = {row['evaluated_count']:,}"
            room = theme.text_width(text) + 5
            start = end + 5 if end + room < x + width else min(place, x + width) - room
            marks["texts"].append(make_text(start, y, text, theme.GREY))


def _draw_key(marks: Marks, rows: Sequence[dict[str, Any]], x: float) -> None:
    marks["fixed"].append(make_box(x, 0, 0, 8, "#A6A6A6"))
    marks["texts"].append(make_text(x + 5, 4, "fixed rate"))
    x += 56
    used = {row["evidence"] for row in rows}
    for name, (fill, shape, label) in EVIDENCE.items():
        if name in used:
            marks["points"].append(make_point(x, 4, fill, shape))
            marks["texts"].append(make_text(x + 6, 4, label))
            x += 18 + 0.5 * theme.TEXT_PT * len(label)
