"""LFV proof 1: the worst block against texture as published, and the mean block beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_point, make_text
from upscale_audit.analysis.lfv.proof import (
    NONE,
    WIDTH_PT,
    Panel,
    cut,
    describe_clusters,
    draw_table,
    limit_rows,
    make_title,
    read_proof,
    spell,
    spell_interval,
    spell_p,
)
from upscale_audit.analysis.lqd.texts import measure_text
from upscale_audit.ingest.model_facts import DEFAULT_COLOURS

if TYPE_CHECKING:
    import altair as alt
    import numpy.typing as npt

    from upscale_audit.analysis.lfv.proof import Source
    from upscale_audit.analysis.marts import Marts


# More points than this are counted in cells.
MOST_POINTS = 2000
CELLS = 60, 44
PANEL_PT, GAP_PT, LEFT_PT, TOP_PT = 138, 40, 26, 27
MOST_COLOURED = 8
"""So many models are told apart by their colours; of more, none is."""
# The published column, and what stands for it in the corrected panel.
MINIMUM = "texture_complexity", "local_ssim_min"
LABEL_PT = 92


@dataclass(frozen=True)
class _Samples:
    """Images of one panel: points, or of many the counts of cells; of the two one is empty.

    Attributes
    ----------
    image_count : int
    mean_x, mean_y : float
    slope : float or None
        Of the least-squares line; None where x does not vary.
    ends : tuple of float
        Of the panel: lowest and highest x, lowest and highest y.
    points : list of dict
        model_id, x, y.
    cells : list of dict
        col, row and n of each cell that has any, from the lower left.
    """

    image_count: int
    mean_x: float
    mean_y: float
    slope: float | None
    ends: tuple[float, float, float, float]
    points: Sequence[dict[str, Any]] = ()
    cells: Sequence[dict[str, Any]] = ()


def draw_texture_dependency(marts: Marts, source: Source) -> alt.LayerChart:
    """Draw the published texture proof and its correction.

    Parameters
    ----------
    marts : analysis.marts.Marts
    source : analysis.lfv.proof.Source

    Returns
    -------
    altair.TopLevelMixin
    """
    texts, rows = source.texts, read_proof(marts, source)
    pooled = rows[0]
    measure = pooled["texture_measure"]
    minimum = _read_samples(marts, source, *MINIMUM)
    mean = _read_samples(marts, source, measure, "local_ssim_mean")
    if minimum is None and mean is None:
        title = make_title(source, "texture_title", [])
        return theme.draw_message("", [], texts["no_texture"]).properties(title=title)
    shown, note = limit_rows(source, rows)
    caption = [*_describe(source, pooled, minimum, mean), note]
    title = make_title(source, "texture_title", caption)
    canvas = Canvas()
    panels = (
        ("a", texts["texture_a"], minimum, texts["texture_complexity"], texts["local_ssim_min"]),
        ("b", texts["texture_b"], mean, texts[measure], texts["local_ssim_mean"]),
    )
    colours = _choose_colours(marts, rows)
    width = (WIDTH_PT - 2 * LEFT_PT - GAP_PT) / 2
    for number, (letter, head, samples, x_title, y_title) in enumerate(panels):
        x = LEFT_PT + number * (width + LEFT_PT + GAP_PT)
        canvas.add_texts([make_text(x - LEFT_PT, 4, letter)], weight="bold")
        canvas.add_texts([make_text(x - LEFT_PT + 9, 4, head)], size=theme.TEXT_PT + 0.5)
        if samples is None:
            canvas.add_texts([make_text(x, TOP_PT + 20, texts["no_texture"], theme.GREY)])
            continue
        panel = Panel(x, TOP_PT, width, PANEL_PT, *samples.ends)
        panel.draw_axes(canvas, x_title, y_title)
        _draw_samples(canvas, panel, samples, colours)
        _draw_fit(canvas, panel, samples, pooled if letter == "b" else None)
        if letter == "a":
            _draw_threshold(canvas, panel, pooled["lfv_threshold_25th"], texts["threshold"])
        panel.draw_frame(canvas)
    has_points = any(samples and samples.points for samples in (minimum, mean))
    y = _draw_key(canvas, marts, TOP_PT + PANEL_PT + 27, colours if has_points else {})
    bottom = _draw_statistics(canvas, y, source, shown)
    return canvas.draw(WIDTH_PT, bottom + 2, title)


def _read_samples(marts: Marts, source: Source, x: str, y: str) -> _Samples | None:
    """Read the images that have both quantities; None where none has."""
    pairs = (
        f"select model_id, image_id, cast({x} as double) as x, cast({y} as double) as y"
        f" from mart_lfv_images where {source.where} and {x} is not null and {y} is not null"
    )
    known = marts.frame(f"select x, y from ({pairs}) order by image_id, model_id")
    if known.is_empty():
        return None
    samples = _summarise(known["x"].to_numpy(), known["y"].to_numpy())
    if samples.image_count <= MOST_POINTS:
        points = marts.rows(f"select model_id, x, y from ({pairs}) order by image_id, model_id")
        return replace(samples, points=points)
    low_x, high_x, low_y, high_y = samples.ends
    across, up = (high_x - low_x) / CELLS[0], (high_y - low_y) / CELLS[1]
    cells = marts.rows(
        f"select cast(floor((x - ({low_x!r})) / {across!r}) as integer) as col,"
        f" cast(floor((y - ({low_y!r})) / {up!r}) as integer) as row, count(*) as n"
        f" from ({pairs}) group by col, row order by col, row"
    )
    return replace(samples, cells=cells)


def _summarise(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> _Samples:
    """Count, means, slope and ends; sums are exact, so that the order of rows changes no digit."""
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    squares = math.fsum((x - mean_x) ** 2)
    slope = math.fsum((x - mean_x) * (y - mean_y)) / squares if squares else None
    return _Samples(len(x), mean_x, mean_y, slope, (*_find_ends(x), *_find_ends(y)))


def _find_ends(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Find the ends of a panel's side: a little beyond what lies in it."""
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def _choose_colours(marts: Marts, rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Colour of each model of some rows; of one that is not the study's, a free one in turn."""
    models = [row["model_id"] for row in rows if row["population"] == "per_model"]
    if len(models) > MOST_COLOURED:
        return {}
    known = {model: marts.colours[model] for model in models if model in marts.colours}
    free = iter([colour for colour in DEFAULT_COLOURS if colour not in known.values()])
    return {model: known.get(model) or next(free) for model in models}


def _draw_samples(
    canvas: Canvas, panel: Panel, samples: _Samples, colours: Mapping[str, str]
) -> None:
    if samples.points:
        size = 9 if samples.image_count > 300 else 16
        points = [
            make_point(
                panel.place_x(point["x"]),
                panel.place_y(point["y"]),
                colours.get(point["model_id"], theme.BLUE),
            )
            for point in samples.points
        ]
        canvas.add_points(points, size, stroke="#FFFFFF")
        return
    across, up = panel.width / CELLS[0], panel.height / CELLS[1]
    most = np.log1p(max(cell["n"] for cell in samples.cells))
    shades = theme.to_hex(
        theme.diverging_colours(
            np.array([-0.15 - 0.85 * np.log1p(cell["n"]) / most for cell in samples.cells])
        )
    )
    bottom = panel.y + panel.height
    canvas.add_boxes(
        [
            make_box(panel.x + cell["col"] * across, bottom - (cell["row"] + 1) * up, across, up, s)
            for cell, s in zip(samples.cells, shades, strict=True)
        ]
    )


def _draw_fit(
    canvas: Canvas, panel: Panel, samples: _Samples, pooled: Mapping[str, Any] | None
) -> None:
    """Draw the least-squares line, and thin ones at the ends of the slope's interval."""
    slopes = [(samples.slope, 1.2)]
    if pooled is not None and pooled["slope_texture_mean_low"] is not None:
        slopes += [(pooled[f"slope_texture_mean_{end}"], 0.5) for end in ("low", "high")]
    for slope, width in slopes:
        if slope is None:
            continue
        ends = _clip(panel, samples.mean_x, samples.mean_y, slope)
        (x1, y1), (x2, y2) = ((panel.place_x(x), panel.place_y(y)) for x, y in ends)
        line = {"x": x1, "y": y1, "x2": x2, "y2": y2, "colour": theme.BLACK}
        canvas.add_lines([line], width)


def _clip(panel: Panel, mean_x: float, mean_y: float, slope: float) -> list[tuple[float, float]]:
    """Cut the line through the means off at the panel's sides; return its ends."""
    ends = []
    for x in (panel.low_x, panel.high_x):
        y = mean_y + slope * (x - mean_x)
        limit = min(max(y, panel.low_y), panel.high_y)
        ends.append((x if y == limit else mean_x + (limit - mean_y) / slope, limit))
    return ends


def _draw_threshold(canvas: Canvas, panel: Panel, threshold: float, label: str) -> None:
    """Draw the dashed line, and say above the panel what it is: within, points would hide it."""
    y = panel.place_y(threshold)
    step = panel.width / 60
    dashes = [make_box(panel.x + 2 * n * step, y, step, 0, theme.VERMILLION) for n in range(30)]
    canvas.add_lines(dashes, 1)
    text, right = f"- -  {label} {spell(threshold, 3)}", panel.x + panel.width
    canvas.add_texts([make_text(right, panel.y - 7, text, theme.VERMILLION)], align="right")


def _draw_key(canvas: Canvas, marts: Marts, y: int, colours: Mapping[str, str]) -> int:
    """Draw which model has which colour; return where the key ends."""
    x, points, texts = 0.0, [], []
    for model, colour in colours.items() if len(colours) > 1 else ():
        label = marts.labels[model]
        width = 18 + measure_text(label, theme.TEXT_PT)
        if x and x + width > WIDTH_PT:
            x, y = 0.0, y + 10
        points.append(make_point(x + 4, y, colour))
        texts.append(make_text(x + 10, y, label))
        x += width
    canvas.add_points(points, 16, stroke="#FFFFFF")
    canvas.add_texts(texts)
    return y + (12 if x else 0)


def _draw_statistics(
    canvas: Canvas, y: int, source: Source, rows: Sequence[dict[str, Any]]
) -> float:
    texts = source.texts
    heads = texts["texture_table"]
    groups = [
        ("", [("", LABEL_PT), (heads["images"], 48)]),
        (texts["published"], [(heads["published_r"], 94)]),
        (
            texts["corrected"],
            [
                (heads["interval"], 92),
                (heads["r_mean"], 30),
                (heads["slope"], 72),
                (heads["excess"], 64),
            ],
        ),
    ]
    return draw_table(canvas, y, groups, [_list_cells(source, row) for row in rows])


def _list_cells(source: Source, row: Mapping[str, Any]) -> list[str]:
    strengths, too_few = source.texts["strengths"], source.texts["too_few"]
    published = (
        f"{spell(row['correlation_texture_localmin'], 3)}, {spell_p(row['correlation_p_value'])}"
    )
    if row["texture_dependency_strength"]:
        published += f", {strengths[row['texture_dependency_strength']]}"
    interval = spell_interval(row["correlation_low"], row["correlation_high"], 2).strip()
    if row["texture_strength_shown"]:
        interval += f" {strengths[row['texture_strength_shown']]}"
    return [
        cut(row["label"], LABEL_PT),
        f"{row['image_count']:,} / {row['cluster_count']:,}",
        published,
        interval or (NONE if row["correlation_texture_localmin"] is None else too_few),
        spell(row["correlation_texture_mean"], 2),
        _spell_slope(row, "slope_texture_mean"),
        _spell_slope(row, "slope_texture_excess"),
    ]


def _spell_slope(row: Mapping[str, Any], name: str) -> str:
    """Spell a slope and its interval in thousandths of SSIM per dn."""
    values = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
    value, low, high = (None if each is None else 1000 * each for each in values)
    return spell(value, 1) + spell_interval(low, high, 1)


def _describe(
    source: Source, pooled: Mapping[str, Any], minimum: _Samples | None, mean: _Samples | None
) -> list[str]:
    texts = source.texts
    counts = {
        "n": f"{pooled['image_count']:,}",
        "threshold": spell(pooled["lfv_threshold_25th"], 3),
    }
    return [
        texts["texture_caption_a"].format(**counts) if minimum else "",
        texts["texture_caption_b"].format(measure=texts[f"{pooled['texture_measure']}_name"])
        if mean
        else "",
        texts["texture_caption_cells"]
        if any(samples and samples.cells for samples in (minimum, mean))
        else "",
        texts["texture_caption_table"],
        describe_clusters(source, pooled),
    ]
