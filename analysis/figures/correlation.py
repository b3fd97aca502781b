"""Figure of how the per-image metrics go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_text
from upscale_audit.analysis.figures.rules import make_title
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    import altair as alt

    from upscale_audit.analysis.marts import Marts

    Pairs = Mapping[tuple[str, str], float | None]
    """Correlation by both metrics, in either order."""


TITLE = "How the per-image metrics go together"
STRONG = 0.7
FEWEST_IMAGES = 3
"""Of fewer, each restored by several models, a correlation says how the models differ."""
# Where a cell is so dark that its value is written in white.
DARK = 0.65
LEGEND_STEPS = 41


def draw_metric_correlation(marts: Marts, source: str) -> alt.LayerChart:
    """Draw the lower triangle of the correlation matrix of the per-image metrics.

    Parameters
    ----------
    marts : analysis.marts.Marts
    source : str
        source_id of `mart_metric_correlation`.

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select first_metric, second_metric, image_count, correlation"
        f" from mart_metric_correlation where source_id = {quote_text(source)}"
        " order by first_metric, second_metric"
    )
    (count,) = marts.rows(
        "select count(distinct image_id) as images from fct_verdicts"
        f" where source_id = {quote_text(source)}"
    )
    if count["images"] < FEWEST_IMAGES:
        return theme.draw_message(
            TITLE,
            [],
            f"{theme.count_noun(count['images'], 'image')}, fewer than {FEWEST_IMAGES}: a"
            " correlation would only say how the models differ. mart_metric_correlation has them.",
        )
    metrics = _order_metrics(rows)
    pairs = {}
    for row in rows:
        pairs[row["first_metric"], row["second_metric"]] = row["correlation"]
        pairs[row["second_metric"], row["first_metric"]] = row["correlation"]
    return _draw_matrix(metrics, pairs, make_title(TITLE, source, _describe(rows, metrics, pairs)))


def _order_metrics(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Order metrics as published: each is the first of its pairs with all later ones."""
    later = {row[name]: 0 for row in rows for name in ("first_metric", "second_metric")}
    for row in rows:
        later[row["first_metric"]] += 1
    return sorted(later, key=lambda name: -later[name])


def _describe(rows: Sequence[dict[str, Any]], metrics: Sequence[str], pairs: Pairs) -> list[str]:
    known = [row for row in rows if row["correlation"] is not None]
    strong = sum(abs(row["correlation"]) > STRONG for row in known)
    empty = [
        name
        for name in metrics
        if all(pairs.get((name, other)) is None for other in metrics if other != name)
    ]
    counts = theme.count_span([row["image_count"] for row in known] or [0], "restored image")
    return [
        "Pearson correlation r of two metrics over all models' images (-1 to 1, written without"
        f" the leading 0), n = {counts} per pair.".replace("-1", "\u22121"),
        f"Outlined: |r| > {STRONG}, {strong} of {theme.count_noun(len(known), 'pair')}; rules on"
        " such metrics are no independent votes.",
        "Differences between models take part; the same image restored by several models counts"
        " several times.",
        f"Grey: no correlation, for a metric has no values or does not vary ({', '.join(empty)})."
        if empty
        else "",
    ]


def _draw_matrix(metrics: Sequence[str], pairs: Pairs, title: alt.TitleParams) -> alt.LayerChart:
    names = [theme.text_width(name) * 0.92 for name in metrics]
    left = 6 + max(names)
    width = theme.DOUBLE_COLUMN_PT - 12
    count = len(metrics) - 1
    # Each column's name begins on the diagonal and needs its room to the right.
    side = min(
        22,
        *((width - left - 4 - name) / (number + 0.2) for number, name in enumerate(names[:-1], 1)),
    )
    canvas, top = Canvas(), 12
    cells, outlines, texts = [], [], []
    for row in range(1, len(metrics)):
        for column in range(row):
            x, y = left + side * column, top + side * (row - 1)
            value = pairs.get((metrics[row], metrics[column]))
            cells.append(make_box(x, y, side, side, _paint([value])[0]))
            if value is None:
                continue
            if abs(value) > STRONG:
                outlines.append(make_box(x + 0.6, y + 0.6, side - 1.2, side - 1.2, "transparent"))
            colour = "#FFFFFF" if abs(value) > DARK else "#000000"
            texts.append(make_text(x + side / 2, y + side / 2, format_r(value), colour))
    canvas.add_boxes(cells, stroke="#FFFFFF", stroke_width=0.8)
    canvas.add_boxes(outlines, stroke=theme.BLACK, stroke_width=0.9)
    canvas.add_texts(texts, align="center", size=min(6.5, side * 0.38))
    middle = top + side / 2
    rows = [make_text(left - 3, middle + side * n, name) for n, name in enumerate(metrics[1:])]
    canvas.add_texts(rows, align="right")
    columns = [
        make_text(left + side * n + 2, middle + side * (n - 1), name)
        for n, name in enumerate(metrics[:-1])
    ]
    canvas.add_texts(columns)
    _draw_legend(canvas, width - 130)
    return canvas.draw(width, top + side * count + 4, title)


def format_r(value: float) -> str:
    """Write a correlation with two decimals, no leading zero and a true minus sign."""
    text = f"{value:+.2f}"
    sign = "\u2212" if text[0] == "-" and float(text) != 0 else ""
    return sign + (text[1:] if text[1] == "1" else text[2:])


def _paint(values: Sequence[float | None]) -> list[str]:
    numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
    colours = theme.to_hex(theme.diverging_colours(numbers))
    return [
        theme.PALE_GREY if value is None else colour
        for value, colour in zip(values, colours, strict=True)
    ]


def _draw_legend(canvas: Canvas, x: int) -> None:
    length, y = 110, 4
    steps = np.linspace(-1, 1, LEGEND_STEPS)
    step = length / LEGEND_STEPS
    colours = _paint(steps.tolist())
    canvas.add_boxes(
        [make_box(x + step * n, y, step + 0.3, 8, colour) for n, colour in enumerate(colours)]
    )
    ends = ((0, "\u22121"), (0.5, "0"), (1, "1"))
    canvas.add_texts(
        [make_text(x + length * place, y + 14, text) for place, text in ends], align="center"
    )
    canvas.add_texts([make_text(x - 6, y + 4, "r")], align="right")
