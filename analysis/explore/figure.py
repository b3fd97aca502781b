"""What is seen as a figure for print: reference, restored under its map, and the map alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import vl_convert

from upscale_audit.analysis import theme
from upscale_audit.analysis.explore.colours import (
    COLOUR_COUNT,
    MEANINGS,
    find_range,
    make_colours,
    paint,
)
from upscale_audit.analysis.explore.outlines import BLOCK_PX
from upscale_audit.analysis.output import PRINT_DPI, draw_svg
from upscale_audit.analysis.png import encode_png

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.explore.outlines import Line, NamedPlace
    from upscale_audit.analysis.explore.pixels import Film
    from upscale_audit.analysis.explore.quantities import Quantity
    from upscale_audit.analysis.explore.views import View


GAP_PT = 8
TALLEST_PT = 320
_LEGEND_STEPS = 25
_BOX = theme.ORANGE


def draw_figure(
    title: str,
    view: View,
    films: tuple[Film, Film],
    values: npt.NDArray[np.float64],
    boxes: list[dict[str, Any]],
    outlines: tuple[Sequence[Line], Sequence[NamedPlace]],
    limit: float,
    opacity: float,
    note: str,
) -> str:
    """Draw what is seen.

    Parameters
    ----------
    title : str
        Whose image it is, restored by what.
    view : analysis.explore.views.View
    films : (Film, Film)
        Reference and restored; of one without pixels the panel is white.
    values : (R, C) float64 array
        Of the blocks that are seen; NaN elsewhere.
    boxes : list of dict
        Marks in pixels of the reference: name, left_px, top_px, width_px, height_px.
    outlines : (list, list)
        Lines between regions and their names, as `analysis.explore.outlines.read_outlines` gives.
    limit, opacity : float
        Of the map's colours.
    note : str
        A sentence about the blocks that are seen.

    Returns
    -------
    str
        SVG, in points.
    """
    known = [film.grey.shape for film in films if film.grey is not None]
    height_px, width_px = known[0] if known else (BLOCK_PX * length for length in values.shape)
    width = (theme.DOUBLE_COLUMN_PT - 2 * GAP_PT - 4) / 3
    width = min(width, TALLEST_PT * width_px / height_px)
    size = round(width), max(1, round(width * height_px / width_px))
    greys = [_whiten(film.grey, (height_px, width_px)) for film in films]
    enlarged = values.repeat(BLOCK_PX, axis=0).repeat(BLOCK_PX, axis=1)[:height_px, :width_px]
    scale = view.quantity.scale
    covered = paint(enlarged, greys[1], scale, limit, opacity)
    alone = paint(enlarged, np.full_like(greys[0], 255), scale, limit)
    titles = "Reference", "Restored, under the map", view.quantity.label
    frames, names = _place_frames(boxes, size, width_px), [box["name"] for box in boxes]
    points_per_px = size[0] / width_px
    lines = [tuple(end * points_per_px for end in line) for line in outlines[0]]
    regions = [name for name, _, _ in outlines[1]]
    panels = [
        _draw_panel(pixels, heading, size, frames, lines)
        for pixels, heading in zip((greys[0], covered, alone), titles, strict=True)
    ]
    panels[-1] = alt.layer(panels[-1], _draw_scale(view.quantity, limit, size))
    chart = alt.concat(*panels, columns=3, spacing=GAP_PT).properties(
        title=theme.make_title(
            title,
            [
                f"{view.quantity.title} ({view.inference_path}). {note}",
                MEANINGS[scale],
                f"Colours are full at {_spell_full(scale, limit)} and beyond.",
                f"Boxes: {theme.name_some(list(dict.fromkeys(names)))}." if names else "",
                f"Lines: edges of regions ({theme.name_some(regions)})." if regions else "",
                *(film.problem for film in films),
            ],
        )
    )
    return draw_svg(theme.finish(chart))


def _place_frames(
    boxes: Sequence[Mapping[str, Any]], size: tuple[int, int], width_px: int
) -> list[dict[str, float]]:
    """Place boxes within a panel: sides in points."""
    points_per_px = size[0] / width_px
    return [
        {
            "left": box["left_px"] * points_per_px,
            "top": box["top_px"] * points_per_px,
            "right": (box["left_px"] + box["width_px"]) * points_per_px,
            "bottom": (box["top_px"] + box["height_px"]) * points_per_px,
        }
        for box in boxes
    ]


def _spell_full(scale: str, limit: float) -> str:
    low, high = find_range(scale, limit)
    sign = "\u00b1" if scale == "signed" else ""
    return f"{sign}{low if scale == 'similarity' else high:,g}".replace("-", "\u2212")


def to_png(svg: str) -> bytes:
    """Draw an SVG of `draw_figure` as PNG bytes, 300 dpi at print size."""
    return vl_convert.svg_to_png(svg, ppi=PRINT_DPI)


def _whiten(grey: npt.NDArray[np.uint8] | None, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Spell grey as (M, N, 3) colours; white where there are no pixels."""
    if grey is None:
        grey = np.full(shape, 255, np.uint8)
    return np.stack([grey] * 3, axis=-1)


def _draw_panel(
    pixels: npt.NDArray[np.uint8],
    title: str,
    size: tuple[int, int],
    frames: Sequence[dict[str, float]],
    lines: Sequence[tuple[float, ...]],
) -> alt.LayerChart:
    width, height = size
    layers = [
        alt.Chart(theme.make_data([{"uri": encode_png(pixels)}]))
        .mark_image(
            align="left",
            baseline="top",
            aspect=False,
            width=width,
            height=height,
            description=title,
        )
        .encode(x=alt.value(0), y=alt.value(0), url="uri:N")
    ]
    if lines:
        layers.append(_draw_lines(lines, size))
    for frame in frames:
        layers.append(
            alt.Chart(theme.make_data([frame]))
            .mark_rect(filled=False, stroke=_BOX, strokeWidth=0.8)
            .encode(
                x=alt.value(frame["left"]),
                x2=alt.value(frame["right"]),
                y=alt.value(frame["top"]),
                y2=alt.value(frame["bottom"]),
            )
        )
    head = alt.TitleParams(title, fontSize=theme.TEXT_PT + 0.5, frame="group", offset=3)
    return alt.layer(*layers, width=width, height=height, title=head)


def _draw_lines(lines: Sequence[tuple[float, ...]], size: tuple[int, int]) -> alt.Chart:
    """Draw lines of x1, y1, x2, y2 in points within a panel."""
    ends = ("x", "y", "x2", "y2")
    rows = [dict(zip(ends, (round(end, 2) for end in line), strict=True)) for line in lines]
    exact = {"nice": False, "zero": False}
    return (
        alt.Chart(theme.make_data(rows))
        .mark_rule(stroke=theme.SKY, strokeWidth=0.8)
        .encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, size[0]], **exact)),
            y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, size[1]], reverse=True, **exact)),
            x2="x2:Q",
            y2="y2:Q",
        )
    )


def _draw_scale(quantity: Quantity, limit: float, size: tuple[int, int]) -> alt.Chart:
    low, high = find_range(quantity.scale, limit)
    steps = np.linspace(0, COLOUR_COUNT - 1, _LEGEND_STEPS).astype(int)
    colours = make_colours(quantity.scale)[steps].astype(float)
    hides = colours[:, 3:] / 255
    solid = np.rint(colours[:, :3] * hides + 255 * (1 - hides)).astype(np.uint8)
    places = low + (high - low) * steps / (COLOUR_COUNT - 1)
    scale = alt.Scale(
        domain=[round(float(place), 9) for place in places], range=theme.to_hex(solid)
    )
    legend = alt.Legend(
        direction="horizontal", gradientLength=150, gradientThickness=8, format=",.6~f", tickCount=5
    )
    # Images have no colour channel: an invisible point carries the scale into the legend.
    return (
        alt.Chart(theme.make_data([{"value": low}]))
        .mark_point(opacity=0)
        .encode(
            x=alt.value(size[0] / 2),
            y=alt.value(size[1] / 2),
            color=alt.Color("value:Q", title=quantity.title, scale=scale, legend=legend),
        )
    )
