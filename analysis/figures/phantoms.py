"""Figures of what each number finds of known truth: a matrix by kinds, free-response curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_text
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts

    Column = tuple[str, str]
    """Kind, and the part of it that is judged."""
    Cells = dict[tuple[str, Column], dict[str, Any]]
    """Rows of mart_detectors by detector and column."""


ARMS = {
    "auditor": "drawn into the restored image",
    "lost": "drawn into the reference and missing from the restored image",
    "through": "drawn into the reference, whose LR image was made and restored again",
    "alone": "one thing in the restored image, which is judged whole",
    "everywhere": "one thing at every site of the restored image, which is judged whole",
}
OF_IMAGES = ("alone", "everywhere")
KINDS = ("nodule_32", "nodule_16", "nodule_8", "edge", "wire", "mirror", "swap", "erase")
CONTRAST_DN = 8
HALF, DARK, PALE = 0.5, 0.65, 0.25
LEGEND_STEPS = 41
ROW_PT = 17
CURVES = {
    ("mse_dn2", "value"): "mse_dn2",
    ("local_ssim", "negated"): "\u2212SSIM",
    ("axis1", "absolute"): "|axis1|",
    ("lr_rms_dn", "value"): "lr_rms_dn",
    ("lr_contradicted_px", "value"): "lr_contradicted_px",
    ("invented_dn2", "value"): "invented_dn2",
}
"""Numbers whose curves are drawn: by detector and reading what they are called."""
CURVE_COLOURS = (
    theme.BLACK, theme.BLUE, theme.SKY, theme.VERMILLION, theme.ORANGE, theme.GREEN,
)  # fmt: skip
CURVE_MARGIN_PT = 38


def list_detector_figures(marts: Marts) -> list[tuple[str, str]]:
    """List the arms and models that have a figure.

    Returns
    -------
    list of (str, str)
        Arm and model_id; empty in a study that is none of phantoms.
    """
    rows = marts.rows(
        "select arm, model_id from mart_detectors where inference_path = 'notta'"
        " group by arm, model_id order by arm, model_id"
    )
    return [(row["arm"], row["model_id"]) for row in rows]


def draw_detectors(marts: Marts, arm: str, model_id: str) -> alt.TopLevelMixin:
    """Draw the area under the ROC curve of each detector, a column for each kind.

    Parameters
    ----------
    marts : analysis.marts.Marts
    arm : {"auditor", "lost", "through", "alone", "everywhere"}
    model_id : str

    Returns
    -------
    altair.TopLevelMixin
    """
    title = f"What each number finds in {marts.labels[model_id]}: {ARMS[arm]}"
    cells, contrast = _read_cells(marts, arm, model_id)
    columns = _order_columns(cells)
    detectors = sorted(
        {detector for detector, _ in cells},
        key=lambda name: (-_mean_area(cells, name, columns), name),
    )
    head = theme.make_title(title, _describe(cells, contrast, arm))
    return _draw_matrix(cells, detectors, columns, head)


def _read_cells(marts: Marts, arm: str, model_id: str) -> tuple[Cells, int | None]:
    """Read the cells, each detector without its sign where it has one, and their contrast."""
    rows = marts.rows(
        "select kind, signal_part, contrast_dn, detector, reading, auc, auc_low, auc_high,"
        " drawn_count, sham_count, cluster_count, cluster_unit from mart_detectors"
        f" where inference_path = 'notta' and arm = {quote_text(arm)}"
        f" and model_id = {quote_text(model_id)} and coalesce(contrast_dn, 1) > 0"
        " order by detector, reading, kind, signal_part, contrast_dn"
    )
    signed = {row["detector"] for row in rows if row["reading"] == "absolute"}
    contrasts = sorted({row["contrast_dn"] for row in rows} - {None})
    contrast = CONTRAST_DN if CONTRAST_DN in contrasts else max(contrasts, default=None)
    cells = {
        (row["detector"], (row["kind"], row["signal_part"])): row
        for row in rows
        if row["contrast_dn"] in (contrast, None)
        and (row["reading"] == "absolute" or row["detector"] not in signed)
    }
    return cells, contrast


def _order_columns(cells: Cells) -> list[Column]:
    """Order the columns: kinds in full from large to small, then their parts."""
    columns = {column for _, column in cells}
    return sorted(columns, key=lambda item: (item[1] != "full", KINDS.index(item[0]), item[1]))


def _mean_area(cells: Cells, detector: str, columns: Sequence[Column]) -> float:
    areas: list[float] = [cells[detector, c]["auc"] for c in columns if (detector, c) in cells]
    return fmean(areas)


def _describe(cells: Cells, contrast: int | None, arm: str) -> list[str]:
    place = "image" if arm in OF_IMAGES else "place"
    rows = list(cells.values())
    drawn = theme.count_span([row["drawn_count"] for row in rows] or [0], place)
    shams = theme.count_span([row["sham_count"] for row in rows] or [0], "sham")
    clusters = theme.count_span([row["cluster_count"] for row in rows] or [0], "cluster")
    bounded = [row for row in rows if row["auc_low"] is not None]
    return [
        f"Area under the ROC curve between {place}s where something was drawn and shams, at"
        f" which nothing was (n = {drawn} a cell, {shams}): 1 finds all, .5 nothing; below .5 it"
        " says less where something is.",
        f"Nodules, edges and wires of {contrast} dn." if contrast is not None else "",
        "Metrics that fall as an image gets worse (PSNR, SSIM) find by areas below .5. What differs"
        " between patients hides what changes little in one."
        if arm in OF_IMAGES
        else "Signed numbers are read by their size alone; mart_detectors has each sign. range:"
        " what the LR rule sees of it alone; null: what it does not.",
        f"Below: 95 % interval over {clusters}, where there is one; pale: it holds .5."
        if bounded
        else "No intervals: too few patients or images.",
    ]


def _draw_matrix(
    cells: Cells, detectors: Sequence[str], columns: Sequence[Column], title: alt.TitleParams
) -> alt.LayerChart:
    left = 10 + max((theme.text_width(name) for name in detectors), default=0)
    width = theme.DOUBLE_COLUMN_PT - 12
    side = min(48, (width - left) / max(1, len(columns)))
    canvas, top = Canvas(), 46
    boxes, areas, ends = [], [], []
    for row, detector in enumerate(detectors):
        for number, column in enumerate(columns):
            x, y = left + side * number, top + ROW_PT * row
            cell = cells.get((detector, column))
            if cell is None:
                boxes.append(make_box(x, y, side, ROW_PT, theme.PALE_GREY))
                continue
            shown = _fade(cell)
            boxes.append(make_box(x, y, side, ROW_PT, _paint([shown])[0]))
            colour = "#FFFFFF" if abs(2 * shown - 1) > DARK else "#000000"
            text, has_ends = _write(cell["auc"]), cell["auc_low"] is not None
            height = ROW_PT * (0.33 if has_ends else 0.5)
            areas.append(make_text(x + side / 2, y + height, text, colour))
            if has_ends:
                span = f"{_write(cell['auc_low'])}\u2013{_write(cell['auc_high'])}"
                ends.append(make_text(x + side / 2, y + ROW_PT * 0.76, span, colour))
    canvas.add_boxes(boxes, stroke="#FFFFFF", stroke_width=0.8)
    canvas.add_texts(areas, align="center", size=6.5)
    canvas.add_texts(ends, align="center", size=6.2)
    names = [
        make_text(left - 3, top + ROW_PT * (row + 0.5), name) for row, name in enumerate(detectors)
    ]
    canvas.add_texts(names, align="right")
    heads = []
    for number, (kind, signal_part) in enumerate(columns):
        middle = left + side * (number + 0.5)
        name, _, radius = kind.partition("_")
        below = f"{radius} px" if radius else "" if signal_part == "full" else signal_part
        heads += [make_text(middle, top - 16, name), make_text(middle, top - 7, below)]
    canvas.add_texts(heads, align="center")
    _draw_legend(canvas, width - 130)
    return canvas.draw(width, top + ROW_PT * len(detectors) + 4, title)


def _fade(cell: Mapping[str, Any]) -> float:
    """Give the area by which a cell is coloured: nearer to one half where that is possible."""
    area: float = cell["auc"]
    low = cell["auc_low"]
    is_possible = low is not None and low <= HALF <= cell["auc_high"]
    return HALF + (area - HALF) * PALE if is_possible else area


def _write(area: float) -> str:
    """Write an area with two decimals and no leading zero; 1.00 only where it is 1."""
    text = f"{min(area, 0.99) if area < 1 else 1:.2f}"
    return text.removeprefix("0") if area < 1 else "1"


def _paint(areas: Sequence[float]) -> list[str]:
    return theme.to_hex(theme.diverging_colours(2 * np.array(areas, dtype=float) - 1))


def _draw_legend(canvas: Canvas, x: float) -> None:
    length, y = 110, 2
    steps = np.linspace(0, 1, LEGEND_STEPS)
    step = length / LEGEND_STEPS
    colours = _paint(steps.tolist())
    canvas.add_boxes(
        [make_box(x + step * n, y, step + 0.3, 8, colour) for n, colour in enumerate(colours)]
    )
    ends = ((0, "0"), (0.5, ".5"), (1, "1"))
    canvas.add_texts(
        [make_text(x + length * place, y + 14, text) for place, text in ends], align="center"
    )
    canvas.add_texts([make_text(x - 6, y + 4, "area")], align="right")


def list_free_response_figures(marts: Marts) -> list[str]:
    """List the models that have a figure of free-response curves.

    Returns
    -------
    list of str
        model_id; empty in a study that is none of phantoms.
    """
    rows = marts.rows(
        "select model_id from mart_free_response where inference_path = 'notta'"
        " group by model_id order by model_id"
    )
    return [row["model_id"] for row in rows]


def draw_free_response(marts: Marts, model_id: str) -> alt.TopLevelMixin:
    """Draw what is found against false positives an image, a panel for each kind.

    Parameters
    ----------
    marts : analysis.marts.Marts
    model_id : str

    Returns
    -------
    altair.TopLevelMixin

    Notes
    -----
    The numbers are chosen beforehand: the best of many would be flattered by the choice.
    """
    rows = marts.rows(
        "select detector, reading, kind, contrast_dn, false_positive_rate, sensitivity_ratio,"
        " drawn_count, image_count, afroc_area from mart_free_response"
        f" where inference_path = 'notta' and model_id = {quote_text(model_id)}"
        " order by kind, contrast_dn, detector, reading, false_positive_rate"
    )
    contrasts = sorted({row["contrast_dn"] for row in rows} - {None})
    contrast = CONTRAST_DN if CONTRAST_DN in contrasts else max(contrasts, default=None)
    rows = [
        row | {"name": CURVES[row["detector"], row["reading"]]}
        for row in rows
        if row["contrast_dn"] in (contrast, None) and (row["detector"], row["reading"]) in CURVES
    ]
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    title = f"What is found at how many false positives an image: {marts.labels[model_id]}"
    caption = _describe_curves(rows, contrast)
    if not rows:
        return theme.draw_message(title, [], "None of the numbers that are drawn has a limit.")
    columns = min(4, len(kinds))
    size = (theme.DOUBLE_COLUMN_PT - 12) / columns - CURVE_MARGIN_PT
    panels = [
        _draw_curves([row for row in rows if row["kind"] == kind], kind, size) for kind in kinds
    ]
    return alt.concat(*panels, columns=columns, spacing=8, title=theme.make_title(title, caption))


def _describe_curves(rows: Sequence[dict[str, Any]], contrast: int | None) -> list[str]:
    drawn = theme.count_span([row["drawn_count"] for row in rows] or [0], "place")
    images = theme.count_span([row["image_count"] for row in rows] or [0], "image")
    return [
        "Share of the places drawn at, in the restored image, that have a block beyond a limit,"
        f" against the tiles of 64 px beyond it in an image without anything (n = {drawn} a panel,"
        f" {images}; mart_free_response has the intervals and every other number).",
        f"Nodules, edges and wires of {contrast} dn." if contrast is not None else "",
        "Where curves coincide one hides the others. The numbers were chosen beforehand. They are"
        " read as named: \u2212SSIM is SSIM negated, |x| is x without its sign.",
    ]


def _draw_curves(
    rows: Sequence[dict[str, Any]], kind: str, size: float
) -> alt.Chart | alt.LayerChart:
    names = list(CURVES.values())
    rates = sorted({row["false_positive_rate"] for row in rows})
    name, _, radius = kind.partition("_")
    base = alt.Chart(theme.make_data(rows)).encode(
        x=alt.X(
            "false_positive_rate:Q",
            title="False positives an image",
            scale=alt.Scale(type="log", base=2, domain=[1 / 8, 8]),
            axis=alt.Axis(values=[1 / 8, 1 / 2, 2, 8], format="~r", grid=False),
        ),
        y=alt.Y(
            "sensitivity_ratio:Q",
            title="Found",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(values=[0, 0.5, 1]),
        ),
        color=alt.Color(
            "name:N",
            title=None,
            sort=names,
            scale=alt.Scale(domain=names, range=CURVE_COLOURS),
            legend=alt.Legend(orient="bottom", columns=len(names)),
        ),
        detail="name:N",
    )
    # A single rate makes no line.
    marks = base.mark_point(filled=True, size=10, opacity=1)
    lines = base.mark_line(strokeWidth=1) if len(rates) > 1 else None
    chart = marks if lines is None else alt.layer(lines, marks)
    head = alt.TitleParams(f"{name} {radius} px" if radius else name, fontSize=theme.TEXT_PT)
    return chart.properties(width=round(size), height=round(size), title=head)
