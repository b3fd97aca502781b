"""Figures of place: block SSIM by distance to the frame, and to the seams between tiles."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.axis import PATH_COLOURS

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


FRAME_TITLE = "Block SSIM from the frame inwards, by side"
SEAM_TITLE = "Block SSIM at the seams of a tiled upscaler"
SIDES = ("all", "top", "bottom", "left", "right", "corner")
PANEL_GAP_PT, LABEL_PT = 6, 24
FLAT_ROOM = 0.005
"""Of SSIM, above and below the one value that a panel has."""
# A strip is as high as a page with all models allows, within reason.
PAGE_PT, LOWEST_PT, HIGHEST_PT, STRIP_PT = 600, 22, 44, 24
SEAM_COLUMNS = 3
HEAD_CHARACTERS = int(theme.DOUBLE_COLUMN_PT / (theme.CHARACTER_EM * (theme.TEXT_PT + 0.5)))


def draw_frame_profile(marts: Marts) -> alt.VConcatChart:
    """Draw mean block SSIM by distance to the frame, side by side, a row per model.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    # As far as there are intervals.
    rings = marts.read_constant("profiled_rings")
    rows = marts.rows(
        "select model_id, inference_path, frame_side, distance_blocks, cluster_unit,"
        " cluster_count, block_count, mean_local_ssim as mean, mean_low as low, mean_high as high"
        f" from mart_frame_profile where distance_blocks < {rings:g}"
        " and mean_local_ssim is not null"
        " order by model_id, inference_path, frame_side, distance_blocks"
    )
    if not rows:
        return theme.draw_message(FRAME_TITLE, [], "No block was measured.")
    effects = {
        (row["model_id"], row["inference_path"]): row
        for row in marts.rows("select * from mart_frame_effect order by model_id, inference_path")
    }
    models = [model for model in marts.models if any(row["model_id"] == model for row in rows)]
    paths = [name for name in PATH_COLOURS if any(row["inference_path"] == name for row in rows)]
    farthest = max(row["distance_blocks"] for row in rows)
    height = min(HIGHEST_PT, max(LOWEST_PT, PAGE_PT / len(models) - STRIP_PT))
    strips = []
    for number, model in enumerate(models):
        own = [row for row in rows if row["model_id"] == model]
        head = _head_strip(model, marts.labels[model], paths, effects)
        ends = number == 0, number == len(models) - 1
        strips.append(_draw_strip(own, head, paths, (farthest, round(height)), *ends))
    title = theme.make_title(FRAME_TITLE, _describe_frame(marts, rows, models))
    return alt.vconcat(*strips, spacing=4, title=title).resolve_legend(color="shared")


def _draw_strip(
    rows: Sequence[dict[str, Any]],
    head: Sequence[str],
    paths: Sequence[str],
    extent: tuple[int, int],
    is_first: bool,
    is_last: bool,
) -> alt.FacetChart:
    """Draw one model: a panel per side, all on one vertical scale."""
    farthest, height = extent
    room = theme.DOUBLE_COLUMN_PT - LABEL_PT - 30 - PANEL_GAP_PT * (len(SIDES) - 1)
    width = round(room / len(SIDES))
    colour = alt.Color(
        "inference_path:N",
        title="Inference path:",
        scale=alt.Scale(domain=paths, range=[PATH_COLOURS[name] for name in paths]),
        legend=alt.Legend(symbolType="stroke", symbolOpacity=1),
    )
    base = alt.Chart(theme.make_data(rows), width=width, height=height)
    x = alt.X(
        "distance_blocks:Q",
        title="Blocks to the frame" if is_last else None,
        scale=alt.Scale(domain=[-0.5, farthest + 0.5], nice=False),
        axis=alt.Axis(values=[0, 5, 10, 15], grid=False, labels=is_last),
    )
    y_scale = alt.Scale(zero=False, nice=False, padding=4, **_widen(rows))
    # One room for the labels of every strip, or the strips would not be flush.
    y_axis = alt.Axis(tickCount=3, minExtent=LABEL_PT, maxExtent=LABEL_PT)
    y = alt.Y("mean:Q", title="SSIM", scale=y_scale, axis=y_axis)
    known = base.transform_filter("isValid(datum.low) && isValid(datum.high)")
    band = known.mark_area(opacity=0.18).encode(
        x=x, y=alt.Y("low:Q", title="SSIM", scale=y_scale), y2="high:Q", color=colour
    )
    # A side has an interval in its outermost ring alone, where an area has no width.
    whisker = known.transform_filter("datum.distance_blocks === 0").mark_rule(strokeWidth=1)
    line = base.mark_line(strokeWidth=1.1).encode(x=x, y=y, color=colour)
    point = base.transform_filter("datum.distance_blocks === 0").mark_point(
        filled=True, size=12, opacity=1
    )
    layers = [
        band,
        whisker.encode(x=x, y=alt.Y("low:Q", scale=y_scale), y2="high:Q", color=colour),
        line,
        point.encode(x=x, y=y, color=colour),
    ]
    header = alt.Header(labels=is_first, labelAnchor="middle")
    return (
        alt.layer(*layers)
        .facet(
            column=alt.Column("frame_side:N", sort=list(SIDES), title=None, header=header),
            spacing=PANEL_GAP_PT,
            title=alt.TitleParams(
                head,
                fontSize=theme.TEXT_PT + 0.5,
                fontWeight="normal",
                frame="bounds",
                anchor="start",
                offset=2,
            ),
        )
        .resolve_axis(x="shared")
    )


def _widen(rows: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """Give a scale room where all values are one: Vega would spell its only tick rounded, as 1."""
    values = [row[key] for row in rows for key in ("mean", "low", "high") if row[key] is not None]
    low, high = min(values), max(values)
    return {"domain": [low - FLAT_ROOM, high + FLAT_ROOM]} if high - low < FLAT_ROOM / 100 else {}


def _head_strip(
    model: str,
    label: str,
    paths: Sequence[str],
    effects: Mapping[tuple[str, str], Mapping[str, Any]],
) -> list[str]:
    """Say a model's name and its frame effect, less the baseline's where there is one."""
    parts = []
    for path in paths:
        row = effects.get((model, path))
        if row is None or row["deficit"] is None:
            continue
        text = f"{path} {_spell_effect(row, 'deficit')}"
        if row["excess"] is not None:
            text += f", own {_spell_effect(row, 'excess')}"
        parts.append(text)
    text = f"{label}: {'; '.join(parts) or 'no interior to compare with'}"
    return textwrap.wrap(text, HEAD_CHARACTERS, subsequent_indent="    ")


def _spell_effect(row: Mapping[str, Any], name: str) -> str:
    """Spell an effect in thousandths of SSIM, with its interval."""
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    text = f"{1000 * value:+.1f}"
    if low is not None:
        text += f" [{1000 * low:.1f}, {1000 * high:.1f}]"
    return text.replace("-", "\u2212")


def _describe_frame(
    marts: Marts, rows: Sequence[dict[str, Any]], models: Sequence[str]
) -> list[str]:
    outermost = [row for row in rows if row["distance_blocks"] == 0 and row["frame_side"] == "all"]
    blocks = theme.count_span([row["block_count"] for row in outermost], "block")
    without = [model for model in marts.models if model not in models]
    return [
        "Mean SSIM of 8 px blocks by their distance to the frame, on each model's own scale;"
        " corner: as near to a horizontal as to a vertical side.",
        f"n = {blocks} on the outermost ring per model and path.",
        _describe_bands(outermost, "Bands and bars"),
        "Above each model: mean over images of the SSIM at distance"
        f" {marts.read_constant('interior_ring'):g} or more less that of the"
        " outermost ring, in thousandths (above 0: worse on the frame); own: how much of it is"
        " beyond the baseline's on the same images.",
        f"Not measured: {marts.list_labels(without)}." if without else "",
    ]


def _describe_bands(rows: Sequence[dict[str, Any]], what: str) -> str:
    return (
        theme.describe_intervals(rows, "low")
        .replace("Bars", what)
        .replace("Points without a bar", "Lines without a band")
    )


def draw_seam_profile(marts: Marts) -> alt.Chart:
    """Draw the difference in block SSIM by distance to the nearest seam, model by model.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select model_id, inference_path, distance_blocks, cluster_unit, cluster_count,"
        " block_count, difference as mean, difference_low as low, difference_high as high"
        " from mart_seam_profile order by model_id, inference_path, distance_blocks"
    )
    has_seam = bool(rows)
    rows = [row for row in rows if row["mean"] is not None]
    if not rows:
        message = (
            "No tile is declared (tile_px, of a model or the study), or no image is larger than"
            " one: there is no seam."
        )
        if has_seam:
            message = "Tiles (tile_px) are too small: every block is near a seam."
        return theme.draw_message(SEAM_TITLE, [], message)
    reach = max(row["distance_blocks"] for row in rows) + 1
    models = [model for model in marts.models if any(row["model_id"] == model for row in rows)]
    paths = [name for name in PATH_COLOURS if any(row["inference_path"] == name for row in rows)]
    for row in rows:
        row["panel"] = theme.break_label(marts.labels[row["model_id"]], 26)
    columns = min(SEAM_COLUMNS, len(models))
    width = round((theme.DOUBLE_COLUMN_PT - 56 - 10 * (columns - 1)) / columns)
    faceted = (
        _layer_seams(rows, paths, reach)
        .properties(width=width, height=70)
        .facet(
            facet=alt.Facet(
                "panel:N",
                sort=[theme.break_label(marts.labels[model], 26) for model in models],
                title=None,
            ),
            columns=columns,
            spacing=alt.RowColnumber(row=8, column=10),
            title=theme.make_title(SEAM_TITLE, _describe_seams(rows)),
        )
    )
    # Vega would draw a shared axis under the empty places of an unfilled last row.
    return faceted.resolve_axis(x="independent") if len(models) % columns else faceted


def _layer_seams(
    rows: Sequence[dict[str, Any]], paths: Sequence[str], reach: int
) -> alt.LayerChart:
    colour = alt.Color(
        "inference_path:N",
        title="Inference path:",
        scale=alt.Scale(domain=paths, range=[PATH_COLOURS[name] for name in paths]),
        legend=alt.Legend(symbolType="stroke", symbolOpacity=1),
    )
    base = alt.Chart(theme.make_data(rows))
    x = alt.X(
        "distance_blocks:Q",
        title="Blocks to the nearest seam",
        scale=alt.Scale(domain=[-0.4, reach - 0.6], nice=False),
        axis=alt.Axis(values=list(range(reach)), grid=False),
    )
    scale = alt.Scale(zero=False, nice=False, padding=6)
    y = alt.Y("mean:Q", title="SSIM, less 8 px on", scale=scale, axis=alt.Axis(tickCount=4))
    known = base.transform_filter("isValid(datum.low) && isValid(datum.high)")
    band = known.mark_area(opacity=0.18).encode(
        x=x, y=alt.Y("low:Q", title="SSIM, less 8 px on", scale=scale), y2="high:Q", color=colour
    )
    zero = base.mark_rule(color="#888888", strokeWidth=0.75).encode(y=alt.datum(0))
    line = base.mark_line(strokeWidth=1.1, point={"size": 10, "filled": True})
    return alt.layer(band, zero, line.encode(x=x, y=y, color=colour))


def _describe_seams(rows: Sequence[dict[str, Any]]) -> list[str]:
    at_seam = [row for row in rows if row["distance_blocks"] == 0]
    blocks = theme.count_span([row["block_count"] for row in at_seam], "block")
    return [
        "Mean SSIM of 8 px blocks by their distance to the nearest border of the upscaler's"
        " tiles, less that of the blocks 8 px farther; blocks within 4 of the frame are left out.",
        f"n = {blocks} at the seam per model and path.",
        _describe_bands([row for row in at_seam if row["cluster_count"]], "Bands"),
        "A seam is the model's only where the baseline has none (mart_seam_profile.excess).",
    ]
