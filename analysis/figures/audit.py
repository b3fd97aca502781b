"""Figure of every restorer beside every other: who adds, who loses, and where."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_text

if TYPE_CHECKING:
    import altair as alt
    import numpy.typing as npt

    from upscale_audit.analysis.marts import Marts

    Restorers = Mapping[tuple[str, str], Mapping[str, Any]]
    """What `read_restorers` gives."""


TITLE = "Who adds, who loses, and where"
# Of this component's sign are the groups of the figure.
GROUPED_BY = "hf"
# Where the colours end, and beyond which share of it a number is written in white.
LIMIT_SPREADS, DARK = 2, 0.65
HEAD_PT, HEAD_CHARACTERS, NUMBER_PT = 6.2, 10, 6.2
LEGEND_STEPS, LEGEND_PT = 41, 26
NOT_KNOWN = "\u2013"
PATHS = {"notta": "", "tta": "with TTA"}


def draw_restorer_audit(marts: Marts) -> alt.LayerChart:
    """Draw a row per restorer and inference path, a column per direction of change.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    components = marts.read_components()
    rows = read_restorers(marts, components)
    spreads = _read_spreads(marts)
    groups = group_restorers(marts.models, rows, components)
    title = theme.make_title(TITLE, _describe(marts, rows, components, spreads))
    return _draw_sheet(groups, marts.labels, rows, components, spreads, title)


def read_restorers(
    marts: Marts, components: Sequence[dict[str, str]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Read what the figure says of each restorer.

    Parameters
    ----------
    marts : analysis.marts.Marts
    components : list of dict
        As of `Marts.read_components`.

    Returns
    -------
    dict
        By model_id and inference path: ``block_count``, ``image_count``, ``local_ssim``
        (dimensionless), ``deficit`` (SSIM of an image's interior less its frame),
        ``hf_gain`` (power above LR Nyquist over the reference's, median of images), and for
        each component its mean over blocks (in its unit) with the lowest and the highest image
        (``_low``, ``_high``). None where nothing was measured; a path that was not measured
        has no row.
    """
    names = [part["component"] for part in components]
    rows = {}
    for path in PATHS:
        for row in marts.rows(_spell_means(names, path)):
            rows[row["model_id"], path] = row | {"deficit": None, "hf_gain": None}
    deficits = marts.rows(
        "select model_id, inference_path, deficit from mart_frame_effect"
        " order by model_id, inference_path"
    )
    for row in deficits:
        key = row["model_id"], row["inference_path"]
        if key in rows:
            rows[key]["deficit"] = row["deficit"]
    gains = marts.rows(
        "select model_id, median(restored_hf_gain) as hf_gain from mart_hyra"
        " where is_current group by model_id order by model_id"
    )
    for row in gains:
        if (row["model_id"], "notta") in rows:
            rows[row["model_id"], "notta"]["hf_gain"] = row["hf_gain"]
    return rows


def _spell_means(names: Sequence[str], path: str) -> str:
    """Spell the query of one inference path; sums of fixed point are exact."""
    inner = ", ".join(
        f"count(d_{name}_{path}) as count_{name}, sum(d_{name}_{path}) as sum_{name}"
        for name in names
    )
    outer = ", ".join(
        f"cast(sum(sum_{name}) as double) / nullif(sum(count_{name}), 0) as {name},"
        f" min(cast(sum_{name} as double) / nullif(count_{name}, 0)) as {name}_low,"
        f" max(cast(sum_{name} as double) / nullif(count_{name}, 0)) as {name}_high"
        for name in names
    )
    ssim = f"local_ssim_{path}"
    return (
        f"with images as (select model_id, image_id, count({ssim}) as block_count,"
        f" sum({ssim}) as sum_ssim, {inner} from fct_blocks group by model_id, image_id)"
        " select model_id, cast(sum(block_count) as bigint) as block_count,"
        " count(*) filter (where block_count > 0) as image_count,"
        " cast(sum(sum_ssim) as double) / nullif(sum(block_count), 0) as local_ssim,"
        f" {outer} from images group by model_id"
        " having sum(block_count) > 0 order by model_id"
    )


def _read_spreads(marts: Marts) -> dict[str, float | None]:
    """Read the robust spread of each component; None, or no entry, where it has none."""
    rows = marts.rows(
        "select component, max(robust_sd) as robust_sd from mart_direction_components"
        " group by component order by component"
    )
    return {row["component"]: row["robust_sd"] for row in rows}


def group_restorers(
    models: Sequence[str],
    rows: Restorers,
    components: Sequence[dict[str, str]],
) -> list[tuple[str, list[str]]]:
    """Part the models by what they did to the finest structure, most added first.

    Parameters
    ----------
    models : list of str
    rows : dict
        As of `read_restorers`.
    components : list of dict

    Returns
    -------
    list of tuple of (str, list of str)
        Head and models of each group that has any.
    """
    part = next(part for part in components if part["component"] == GROUPED_BY)
    values = {model: rows.get((model, "notta"), {}).get(GROUPED_BY) for model in models}
    order = sorted(models, key=lambda model: (-(values[model] or 0.0), model))
    groups = (
        (part["positive_means"], lambda value: value is not None and value > 0),
        (f"{part['label'].lower()} unchanged", lambda value: value == 0),
        (part["negative_means"], lambda value: value is not None and value < 0),
        ("not measured", lambda value: value is None),
    )
    parted = [(head, [name for name in order if test(values[name])]) for head, test in groups]
    return [(head, names) for head, names in parted if names]


def spell_change(row: Mapping[str, Any], name: str) -> str:
    """Spell a mean with its sign, in brackets where images differ in theirs.

    Parameters
    ----------
    row : dict
        With the mean under `name`, and its lowest and highest image.
    name : str

    Returns
    -------
    str
        A dash where nothing was measured.
    """
    value = row[name]
    if value is None:
        return NOT_KNOWN
    text = f"{value:+.2f}" if abs(value) < 99.995 else f"{value:+.0f}"
    text = text.replace("-", "\u2212") if float(text) else text[1:]
    return f"({text})" if row[f"{name}_low"] < 0 < row[f"{name}_high"] else text


def _spell_places(row: Mapping[str, Any]) -> list[str]:
    """Spell local SSIM, frame deficit in thousandths, and power above LR Nyquist."""
    ssim, deficit, gain = (row[name] for name in ("local_ssim", "deficit", "hf_gain"))
    texts = (
        None if ssim is None else f"{ssim:.3f}",
        None if deficit is None else f"{1000 * deficit:+.1f}",
        None if gain is None else f"{gain:.2f}" if gain < 10 else f"{gain:.0f}",
    )
    return [NOT_KNOWN if text is None else text.replace("-", "\u2212") for text in texts]


def _describe(
    marts: Marts,
    rows: Restorers,
    components: Sequence[dict[str, str]],
    spreads: Mapping[str, float | None],
) -> list[str]:
    (clusters,) = marts.rows(
        "select count(distinct cluster_id) as count,"
        " string_agg(distinct cluster_unit || 's', ' and ' order by cluster_unit || 's') as unit"
        " from dim_images"
    )
    counts = [row["block_count"] for row in rows.values()]
    images = [row["image_count"] for row in rows.values()]
    flat = [part["label"] for part in components if spreads.get(part["component"]) is None]
    spread, interior = map(marts.read_constant, ("normal_iqr", "interior_ring"))
    return [
        "Mean over all blocks, restored minus reference, in the unit below each name (dn: grey"
        " levels of 0 to 255); groups and their order by fine grain without test-time"
        " augmentation (TTA).",
        f"Colour: the mean in robust spreads (interquartile range / {spread} over the"
        " axis models' blocks without TTA). In brackets: some images gained and others lost.",
        f"Frame: block SSIM {interior:g} blocks or more from the frame less that on it, in"
        " thousandths (above 0: worse on the frame). Above LR Nyquist: power that the network"
        " without TTA puts there,"
        f" over the reference's, median of images (HyRA; {NOT_KNOWN}: not asked).",
        f"n = {theme.count_span(counts, 'block')} of {theme.count_span(images, 'image')} per row;"
        " ringing only where there are edges."
        if rows
        else "",
        "No intervals are drawn; they would rest on"
        f" {theme.count_noun(clusters['count'], 'cluster')} ({clusters['unit']}).",
        f"Without colour, for half of the values or more are equal or the axis is not"
        f" identifiable: {', '.join(flat)}."
        if flat
        else "",
    ]


def _draw_sheet(
    groups: Sequence[tuple[str, list[str]]],
    names: Mapping[str, str],
    rows: Restorers,
    components: Sequence[dict[str, str]],
    spreads: Mapping[str, float | None],
    title: alt.TitleParams,
) -> alt.LayerChart:
    """Lay the rows out from the top, in points."""
    parts = [part["component"] for part in components]
    labels = [theme.break_label(names[model]) for _, models in groups for model in models]
    width = theme.DOUBLE_COLUMN_PT - 12
    left = max([theme.text_width(PATHS["tta"]) + 8, theme.label_width(labels)])
    columns = _place_columns(left, width, len(parts))
    canvas = Canvas()
    _draw_legend(canvas, width)
    y = _draw_heads(canvas, columns, components)
    for head, models in groups:
        canvas.add_texts([make_text(0, y + 9, head[0].upper() + head[1:])], weight="bold")
        y += 16
        for model in models:
            for path in PATHS:
                if path == "notta" or (model, path) in rows:
                    label = theme.break_label(names[model]) if path == "notta" else PATHS[path]
                    height = theme.row_height([label], 12)
                    colour = theme.BLACK if path == "notta" else theme.GREY
                    canvas.add_texts([_place_label(left - 4, y, height, label, colour)], "right")
                    _draw_row(canvas, y, height, columns, rows.get((model, path)), parts, spreads)
                    y += height
    return canvas.draw(width, y + 4, title)


def _place_columns(left: float, width: int, count: int) -> list[tuple[float, float]]:
    """Place the columns: a left and a right end each, the last three a little apart."""
    gap = 6
    side = (width - left - gap) / (count + 3)
    starts = [left + side * number + gap * (number >= count) for number in range(count + 3)]
    return [(start, start + side) for start in starts]


def _place_label(x: float, y: float, height: float, label: str, colour: str) -> dict[str, Any]:
    # Canvas puts the middle of a text's first line where it is told.
    return make_text(x, y + height / 2 - label.count("\n") * (theme.TEXT_PT + 2) / 2, label, colour)


def _draw_heads(
    canvas: Canvas, columns: Sequence[tuple[float, float]], components: Sequence[dict[str, str]]
) -> float:
    heads = [f"{part['label']}\n{part['unit']}" for part in components]
    heads += ["Local SSIM\n", "Frame\n\u00d7 1000", "Above LR Nyquist\nratio"]
    heads = ["\n".join(_wrap_head(*head.split("\n"))) for head in heads]
    line = HEAD_PT + 2
    bottom = LEGEND_PT + line * max(head.count("\n") + 1 for head in heads)
    texts = [
        make_text((start + end) / 2, bottom - line * head.count("\n"), head)
        for (start, end), head in zip(columns, heads, strict=True)
    ]
    canvas.add_texts(texts, align="center", size=HEAD_PT, baseline="alphabetic")
    return bottom + 2


def _wrap_head(label: str, *unit: str) -> list[str]:
    return [*textwrap.wrap(label, HEAD_CHARACTERS), *(word for word in unit if word)]


def _draw_row(
    canvas: Canvas,
    y: float,
    height: float,
    columns: Sequence[tuple[float, float]],
    row: Mapping[str, Any] | None,
    names: Sequence[str],
    spreads: Mapping[str, float | None],
) -> None:
    """Draw a row's cells: a mean over its colour, then the numbers that have none."""
    values = [None if row is None else row[name] for name in names]
    ratios = [
        np.nan if value is None or spreads.get(name) is None else value / spreads[name]
        for name, value in zip(names, values, strict=True)
    ]
    shares = np.array(ratios, dtype=float) / LIMIT_SPREADS
    texts = [NOT_KNOWN if row is None else spell_change(row, name) for name in names]
    texts += [NOT_KNOWN] * 3 if row is None else _spell_places(row)
    colours = [*paint_cells(shares), *["#FFFFFF"] * 3]
    whites = [*(np.abs(shares) > DARK), False, False, False]
    cells, words = [], []
    for (start, end), text, colour, is_white in zip(columns, texts, colours, whites, strict=True):
        cells.append(make_box(start, y, end - start, height, colour))
        ink = "#FFFFFF" if is_white else theme.BLACK
        words.append(make_text((start + end) / 2, y + height / 2, text, ink))
    canvas.add_boxes(cells, stroke="#FFFFFF", stroke_width=0.8)
    canvas.add_texts(words, align="center", size=NUMBER_PT)


def paint_cells(shares: npt.NDArray[np.float64]) -> list[str]:
    """Choose the colours of values in -1..1; NaN has the grey of what is not known.

    Parameters
    ----------
    shares : numpy.ndarray
        Shape (N,), dimensionless; beyond -1 and 1 the colour stays.

    Returns
    -------
    list of str
        N colours, as CSS spells them.
    """
    colours = theme.to_hex(theme.diverging_colours(shares))
    return [
        theme.PALE_GREY if np.isnan(share) else colour
        for share, colour in zip(shares, colours, strict=True)
    ]


def _draw_legend(canvas: Canvas, right: int) -> None:
    length, y = 110, 4
    step = length / LEGEND_STEPS
    start = right - length - 8
    colours = paint_cells(np.linspace(-1, 1, LEGEND_STEPS))
    canvas.add_boxes(
        [make_box(start + step * n, y, step + 0.3, 8, colour) for n, colour in enumerate(colours)]
    )
    ends = (f"\u2264 \u2212{LIMIT_SPREADS}", "0", f"\u2265 {LIMIT_SPREADS}")
    texts = [make_text(start + length * n / 2, y + 14, text) for n, text in enumerate(ends)]
    canvas.add_texts(texts, align="center")
    canvas.add_texts([make_text(start - 6, y + 4, "robust spreads")], align="right")
