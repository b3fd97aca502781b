"""LFV proof 3: rows, columns and rings of the worst blocks against uniform placement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_text
from upscale_audit.analysis.lfv.places import find_span, read_places
from upscale_audit.analysis.lfv.proof import WIDTH_PT, Panel, make_title, read_proof, spell
from upscale_audit.analysis.lqd.texts import measure_text

if TYPE_CHECKING:
    import altair as alt
    import numpy as np
    import numpy.typing as npt

    from upscale_audit.analysis.lfv.places import Places
    from upscale_audit.analysis.lfv.proof import Source
    from upscale_audit.analysis.marts import Marts


MOST_BARS = 128
LAST_RING = 15
PANEL_PT, LEFT_PT, GAP_PT, TOP_PT = 112, 24, 10, 43
BAND, EXPECTED = "#D9D9D9", theme.VERMILLION


def draw_coordinate_distribution(marts: Marts, source: Source) -> alt.LayerChart:
    """Draw how the worst blocks of LFV images spread over rows, columns and rings.

    Parameters
    ----------
    marts : analysis.marts.Marts
    source : analysis.lfv.proof.Source

    Returns
    -------
    altair.TopLevelMixin
    """
    texts, places = source.texts, read_places(marts, source, is_lfv=True)
    (pooled, *_) = read_proof(marts, source)
    title = make_title(source, "coordinates_title", _describe(source, pooled, places))
    if not places.total:
        return theme.draw_message("", [], texts["no_places"]).properties(title=title)
    canvas = Canvas()
    counts = places.count_places()
    deepest = (min(places.grid) - 1) // 2
    rings = min(LAST_RING, deepest) + 1
    panels = (
        (texts["rows"], counts.sum(axis=1), places.expect_lines(0), texts["row_axis"]),
        (texts["cols"], counts.sum(axis=0), places.expect_lines(1), texts["col_axis"]),
        (texts["rings"], places.count_rings(rings), places.expect_rings(rings), texts["ring_axis"]),
    )
    width = (WIDTH_PT - 3 * LEFT_PT - 2 * GAP_PT) / 3
    for number, (head, found, shares, x_title) in enumerate(panels):
        x = LEFT_PT + number * (width + LEFT_PT + GAP_PT)
        is_ring = number == 2
        canvas.add_texts([make_text(x - LEFT_PT, 4, "abc"[number])], weight="bold")
        canvas.add_texts([make_text(x - LEFT_PT + 9, 4, head)], size=theme.TEXT_PT + 0.5)
        note = _count_ends(texts, found, shares, is_ring)
        canvas.add_texts([make_text(x - LEFT_PT, 11, note, theme.GREY)], baseline="top")
        total, drawn = int(found.sum()), len(found) - is_ring
        bars = found[:drawn], shares[:drawn], 1 if is_ring else -(-drawn // MOST_BARS)
        _draw_bars(canvas, (x, width), total, bars, x_title, texts)
    _draw_key(canvas, TOP_PT + PANEL_PT + 30, texts)
    return canvas.draw(WIDTH_PT, TOP_PT + PANEL_PT + 38, title)


def _draw_bars(
    canvas: Canvas,
    frame: tuple[float, float],
    total: int,
    counted: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], int],
    x_title: str,
    texts: Mapping[str, str],
) -> None:
    """Draw counts as bars, the span of chance behind them and what is expected before them."""
    found, shares, step = counted
    starts = range(0, len(found), step)
    bars = [int(found[start : start + step].sum()) for start in starts]
    expected = [float(shares[start : start + step].sum()) for start in starts]
    spans = [find_span(total, share) for share in expected]
    highest = 1.06 * max(*bars, *(high for _, high in spans), 1)
    x, width = frame
    # A tick stands in the middle of its bar.
    panel = Panel(x, TOP_PT, width, PANEL_PT, -0.5, len(found) - 0.5, 0, highest)
    panel.draw_axes(canvas, x_title, texts["images_axis"], spell_y=_spell_count)
    edges = [
        (panel.place_x(start - 0.5), panel.place_x(min(start + step, len(found)) - 0.5))
        for start in starts
    ]
    bottom = panel.place_y(0)
    bands, boxes, lines = [], [], []
    for (left, right), bar, share, (low, high) in zip(edges, bars, expected, spans, strict=True):
        top = panel.place_y(high)
        bands.append(make_box(left, top, right - left, panel.place_y(low) - top, BAND))
        inset = 0.12 * (right - left)
        top = panel.place_y(bar)
        boxes.append(
            make_box(left + inset, top, right - left - 2 * inset, bottom - top, theme.BLUE)
        )
        lines.append(make_box(left, panel.place_y(total * share), right - left, 0, EXPECTED))
    canvas.add_boxes(bands)
    canvas.add_boxes([box for box in boxes if box["y"] != box["y2"]])
    canvas.add_lines(lines, 0.9)
    panel.draw_frame(canvas)


def _spell_count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else ""


def _count_ends(
    texts: Mapping[str, str],
    found: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64],
    is_ring: bool,
) -> str:
    """Say how many lie in the outermost lines or ring, and beyond the last ring drawn."""
    total = int(found.sum())

    def count(places: Sequence[int] | set[int]) -> dict[str, str]:
        expected = total * float(sum(shares[place] for place in places))
        return {
            "count": f"{int(sum(found[place] for place in places)):,}",
            "expected": spell(expected, 1),
        }

    outermost = texts["outermost"].format(**count([0] if is_ring else {0, len(found) - 1}))
    if not is_ring or not shares[-1]:
        return outermost
    farther = texts["farther"].format(last=len(found) - 2, **count([len(found) - 1]))
    return f"{outermost}\n{farther}"


def _draw_key(canvas: Canvas, y: int, texts: Mapping[str, str]) -> None:
    x, boxes, labels = 0.0, [], []
    for colour, label, height in (
        (theme.BLUE, texts["found"], 7),
        (EXPECTED, texts["expected"], 0),
        (BAND, texts["span"], 7),
    ):
        if height:
            boxes.append(make_box(x, y - height / 2, 9, height, colour))
        else:
            canvas.add_lines([make_box(x, y, 9, 0, colour)], 0.9)
        labels.append(make_text(x + 12, y, label))
        x += 26 + measure_text(label, theme.TEXT_PT)
    canvas.add_boxes(boxes)
    canvas.add_texts(labels)


def _describe(source: Source, pooled: Mapping[str, Any], places: Places) -> list[str]:
    if not places.total:
        return []
    texts = source.texts
    rows, cols = places.grid
    others = places.total - places.grids[places.grid]
    step = -(-max(rows, cols) // MOST_BARS)
    return [
        texts["coordinates_caption"].format(
            n=f"{places.total:,}", rows=rows, cols=cols, clusters=f"{pooled['cluster_count']:,}"
        ),
        texts["coordinates_caption_step"].format(step=step) if step > 1 else "",
        texts["spatial_caption_grids"].format(count=f"{others:,}") if others else "",
        texts["coordinates_caption_span"],
        texts["spatial_caption_content"],
    ]
