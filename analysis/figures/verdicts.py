"""Figure of verdict classes: how much the choice of rules and of thresholds decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_text
from upscale_audit.analysis.figures.rules import (
    BASE_PATHS,
    COLOURS,
    POPULATIONS,
    label_classes,
    make_title,
    read_least_counts,
)
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    import altair as alt

    from upscale_audit.analysis.marts import Marts

    Bar = tuple[str, str, str]
    """Rule set, population and model."""
    Counts = dict[Bar, dict[str | None, int]]
    """Images of each bar by verdict class."""


TITLE = "The same images under other rules and thresholds"
RULE_SETS = ("v2_current", "v1_documented", "gui_suspects", "gui_clean")
COLUMN_GAP_PT, BAR_PT, HEADING_PT = 22, 9, 13
HIGH = COLOURS["High"]


def draw_verdicts(marts: Marts, source: str) -> alt.LayerChart:
    """Draw the share of each verdict class by model, rule set and population.

    Parameters
    ----------
    marts : analysis.marts.Marts
    source : str
        source_id of `fct_verdicts`.

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select rule_set, population, model_id, inference_path, confidence, count(*) as image_count"
        f" from fct_verdicts where source_id = {quote_text(source)}"
        f" and inference_path in {BASE_PATHS}"
        " group by rule_set, population, model_id, inference_path, confidence"
        " order by rule_set, population, model_id, inference_path, confidence"
    )
    if not rows:
        message = "No image was measured without test-time augmentation."
        return theme.draw_message(f"{TITLE}: {source}", [], message)
    counts: Counts = {}
    totals: dict[Bar, int] = {}
    for row in rows:
        bar = row["rule_set"], row["population"], row["model_id"]
        counts.setdefault(bar, {})[row["confidence"]] = row["image_count"]
        totals[bar] = totals.get(bar, 0) + row["image_count"]
    augmented = {row["inference_path"] for row in rows} == {"notta"}
    caption = [
        "Share of a model's images in each verdict class"
        + (", restored without test-time augmentation," if augmented else "")
        + " by rule set (columns) and by whose quantiles the thresholds are (groups).",
        f"n = {theme.count_span(list(totals.values()), 'image')} per bar; the numbers are images,"
        " those of High to the left of their bar.",
        "Nothing but rules and thresholds differs between the bars of a model: a class is a"
        " statement about that choice too, and the number of rules that fire is no probability.",
    ]
    models = marts.name_models(marts.order_models({bar[2] for bar in counts}))
    labels = label_classes(read_least_counts(marts))
    return _draw_bars((models, labels), counts, totals, make_title(TITLE, source, caption))


def _draw_bars(
    named: tuple[Mapping[str, str], Mapping[str | None, str]],
    counts: Counts,
    totals: Mapping[Bar, int],
    title: alt.TitleParams,
) -> alt.LayerChart:
    models, classes = named
    labels = {model: theme.break_label(label) for model, label in models.items()}
    left = theme.label_width(labels.values()) + COLUMN_GAP_PT
    sets = [name for name in RULE_SETS if any(bar[0] == name for bar in counts)]
    room = theme.DOUBLE_COLUMN_PT - 12 - left
    width = min(180, (room + COLUMN_GAP_PT) / len(sets) - COLUMN_GAP_PT)
    row_pt = theme.row_height(list(labels.values()), BAR_PT + 2.5)
    canvas = Canvas()
    y: float = 27
    lefts = {name: left + number * (width + COLUMN_GAP_PT) for number, name in enumerate(sets)}
    bars: list[dict[str, Any]] = []
    numbers: list[dict[str, Any]] = []
    names, headings = [], []
    for population in [name for name in POPULATIONS if any(bar[1] == name for bar in counts)]:
        headings.append(make_text(lefts[sets[0]], y + 5, f"Thresholds {POPULATIONS[population]}"))
        y += HEADING_PT
        for model in models:
            names.append(make_text(left - COLUMN_GAP_PT, y + row_pt / 2, labels[model]))
            for name in sets:
                bar = name, population, model
                place = lefts[name], y + (row_pt - BAR_PT) / 2, width
                _stack(counts.get(bar, {}), totals.get(bar, 0), place, bars, numbers)
            y += row_pt
        y += 4
    canvas.add_boxes(bars, stroke="#777777", stroke_width=0.35)
    canvas.add_texts([row for row in numbers if row["colour"] == theme.BLACK], "center", 6.2)
    canvas.add_texts([row for row in numbers if row["colour"] != theme.BLACK], "right", 6.2)
    _add_labels(canvas, names)
    canvas.add_texts(headings)
    canvas.add_texts([make_text(x, 20, name) for name, x in lefts.items()], weight="bold")
    _draw_ticks(canvas, lefts, width, y)
    _draw_key(canvas, counts, classes, left)
    return canvas.draw(theme.DOUBLE_COLUMN_PT - 12, y + 20, title)


def _stack(
    classes: Mapping[str | None, int],
    total: int,
    place: tuple[float, float, float],
    bars: list[dict[str, Any]],
    numbers: list[dict[str, Any]],
) -> None:
    x, y, width = place
    middle = y + BAR_PT / 2
    if total:
        numbers.append(make_text(x - 2.5, middle, f"{classes.get('High', 0):,}", HIGH))
    for name, colour in COLOURS.items():
        if not classes.get(name):
            continue
        part = width * classes[name] / total
        bars.append(make_box(x, y, part, BAR_PT, colour))
        # A number that its segment cannot hold would be read as the next one's.
        text = f"{classes[name]:,}"
        if name != "High" and part >= 3.4 * len(text) + 2:
            numbers.append(make_text(x + part / 2, middle, text))
        x += part


def _add_labels(canvas: Canvas, names: Sequence[dict[str, Any]]) -> None:
    """Write each line of a broken name by itself, so that the lines lie about the middle."""
    lines = []
    for name in names:
        parts = name["text"].split("\n")
        top = name["y"] - (len(parts) - 1) * (theme.TEXT_PT + 1.5) / 2
        lines += [
            make_text(name["x"], top + number * (theme.TEXT_PT + 1.5), part)
            for number, part in enumerate(parts)
        ]
    canvas.add_texts(lines, align="right")


def _draw_ticks(canvas: Canvas, lefts: Mapping[str, float], width: float, y: float) -> None:
    lines, texts = [], []
    for left in lefts.values():
        for tick in (0, 25, 50, 75, 100):
            lines.append(make_box(left + width * tick / 100, y - 2, 0, 3, "#888888"))
        for tick in (0, 50, 100):
            texts.append(make_text(left + width * tick / 100, y + 6, str(tick)))
        texts.append(make_text(left + width / 2, y + 15, "Images (%)"))
    canvas.add_lines(lines, 0.5)
    canvas.add_texts(texts, align="center")


def _draw_key(canvas: Canvas, counts: Counts, labels: Mapping[str | None, str], x: float) -> None:
    used = {name for classes in counts.values() for name in classes}
    boxes, texts = [], []
    for name, label in labels.items():
        if name in used:
            boxes.append(make_box(x, 0, 8, 7, COLOURS[name]))
            texts.append(make_text(x + 11, 3.5, label))
            x += 24 + 0.5 * theme.TEXT_PT * len(label)
    canvas.add_boxes(boxes, stroke="#777777")
    canvas.add_texts(texts)
