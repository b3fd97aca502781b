"""Figure of what a codec learned when: the audit of one codec after each of several epochs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


TITLE = "What was learned when: one codec, audited after each of several epochs"
EPOCH = re.compile(r"(?P<codec>.+)_e(?P<epoch>[0-9]{3,})")
KEPT = "kept"
PANELS = (
    (KEPT, "Position and strength, by size of cell", "share of the reference's detail in place"),
    ("d_sharp", "Sharpness", "ln energy ratio"),
    ("contrast_diff_pct", "Contrast", "% of the reference's"),
    ("d_mu", "Brightness", "grey levels"),
)
"""Quantity, title and unit; `kept` is of `mart_ledger`, the others of `mart_model_means`."""
SCALE_COLOURS = ("#08306B", "#2171B5", "#4292C6", "#6BAED6", "#9ECAE1", "#BDBDBD")
_WIDTH_PT, _HEIGHT_PT = 190, 100


def list_epochs(models: Sequence[str]) -> list[tuple[int, str]]:
    """List the epochs of a study's codec and their models.

    Parameters
    ----------
    models : list of str

    Returns
    -------
    list of tuple
        Epoch and model_id, in the order of epochs; of several codecs, the one that is first by
        name. Empty where fewer than two models are called ``<codec>_e<epoch>``, as
        ``upscale-audit codec study --programme learning`` calls them.
    """
    found = [(match, model) for model in models if (match := EPOCH.fullmatch(model))]
    if not found:
        return []
    first = min(match["codec"] for match, _ in found)
    epochs = sorted((int(m["epoch"]), model) for m, model in found if m["codec"] == first)
    return epochs if len(epochs) > 1 else []


def draw_learning(marts: Marts) -> alt.VConcatChart:
    """Draw four quantities by epoch, without test-time augmentation.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    epochs = {model: epoch for epoch, model in list_epochs(marts.models)}
    points = [row | {"epoch": epochs[row["model_id"]]} for row in _read(marts, tuple(epochs))]
    if not points:
        return theme.draw_message(TITLE, [], "No two epochs of one codec were measured.")
    rows = [points_of(points, quantity) for quantity, _, _ in PANELS]
    drawn = [_draw_panel(*pair) for pair in zip(rows, PANELS, strict=True)]
    upper, lower = alt.hconcat(*drawn[:2], spacing=20), alt.hconcat(*drawn[2:], spacing=20)
    title = theme.make_title(TITLE, _describe(points))
    return alt.vconcat(upper, lower, spacing=12, title=title)


def points_of(points: Sequence[dict[str, Any]], quantity: str) -> list[dict[str, Any]]:
    """Points of one quantity."""
    return [point for point in points if point["quantity"] == quantity]


def _read(marts: Marts, models: tuple[str, ...]) -> list[dict[str, Any]]:
    means = marts.rows(
        "select model_id, quantity, '' as scale, mean, mean_low as low, mean_high as high,"
        " image_count, cluster_unit from mart_model_means"
        " where inference_path = 'notta' and source_id = 'images' and subgroup_kind = 'all'"
        " order by model_id, quantity"
    )
    kept = marts.rows(
        f"select model_id, '{KEPT}' as quantity, scale_px || ' px' as scale, kept as mean,"
        " cast(null as double) as low, cast(null as double) as high, image_count, cluster_unit"
        " from mart_ledger where inference_path = 'notta' and kind = 'lost'"
        " order by model_id, scale_px"
    )
    known = {quantity for quantity, _, _ in PANELS}
    return [
        row
        for row in (*means, *kept)
        if row["model_id"] in models and row["quantity"] in known and row["mean"] is not None
    ]


def _draw_panel(rows: Sequence[dict[str, Any]], panel: tuple[str, str, str]) -> alt.LayerChart:
    quantity, title, unit = panel
    base = alt.Chart(theme.make_data(rows), width=_WIDTH_PT, height=_HEIGHT_PT)
    x = alt.X(
        "epoch:Q",
        title="Epoch",
        scale=alt.Scale(type="log", base=2, nice=False, padding=6),
        axis=alt.Axis(values=sorted({row["epoch"] for row in rows}), format="d"),
    )
    y = alt.Y("mean:Q", title=unit, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    colour = alt.value(theme.VERMILLION)
    if quantity == KEPT:
        scales = sorted({row["scale"] for row in rows}, key=lambda name: int(name.split()[0]))
        colour = alt.Color(
            "scale:N",
            title="Cells:",
            sort=scales,
            scale=alt.Scale(domain=scales, range=SCALE_COLOURS[: len(scales)]),
        )
    bars = base.mark_rule(strokeWidth=0.8).encode(x=x, y=alt.Y("low:Q", title=unit), y2="high:Q")
    lines = base.mark_line(strokeWidth=1).encode(x=x, y=y, color=colour)
    marks = base.mark_point(filled=True, size=16, opacity=1).encode(x=x, y=y, color=colour)
    aim = base.mark_rule(color="#888888", strokeWidth=0.75).encode(
        y=alt.datum(1 if quantity == KEPT else 0)
    )
    layers = [aim, lines, marks] if quantity == KEPT else [aim, bars, lines, marks]
    head = alt.TitleParams(
        title, fontSize=theme.TEXT_PT + 0.5, fontWeight="normal", frame="group", offset=3
    )
    return alt.layer(*layers, title=head)


def _describe(points: Sequence[Mapping[str, Any]]) -> list[str]:
    images = theme.count_span([point["image_count"] for point in points], "image")
    units = sorted({point["cluster_unit"] for point in points if point["cluster_unit"]})
    bars = [point for point in points if point["low"] is not None]
    spread = f"bars: 95 % intervals over {units[0]}s" if bars and units else "no intervals"
    return [
        "Grey line: what a perfect codec has. Share in place: regression of restored on reference"
        " detail at cells of so many pixels (mart_ledger, kept; 0: nothing is where it should be),"
        " without an interval. The others: restored minus reference (mart_model_means), mean over"
        f" a model's {images}; {spread}.",
        "One training: epochs are not independent of one another.",
    ]
