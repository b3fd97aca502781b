"""LFV proof 2: where the worst blocks lie, against what chance would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_text
from upscale_audit.analysis.lfv.places import read_places
from upscale_audit.analysis.lfv.proof import (
    NONE,
    WIDTH_PT,
    cut,
    describe_clusters,
    draw_table,
    limit_rows,
    make_title,
    read_proof,
    spell,
    spell_interval,
    spell_p,
    spell_pct,
)
from upscale_audit.analysis.lqd.texts import measure_text

if TYPE_CHECKING:
    import altair as alt
    import numpy.typing as npt

    from upscale_audit.analysis.lfv.places import Places
    from upscale_audit.analysis.lfv.proof import Source
    from upscale_audit.analysis.marts import Marts


# A cell smaller than this on paper would not be seen.
MOST_CELLS = 64
PANEL_PT, TALLEST_PT, GAP_PT, HEAD_PT = 212, 230, 24, 12
LABEL_PT = 80


def draw_spatial_dependency(marts: Marts, source: Source) -> alt.LayerChart:
    """Draw the map of worst blocks and the published and corrected tests of their place.

    Parameters
    ----------
    marts : analysis.marts.Marts
    source : analysis.lfv.proof.Source

    Returns
    -------
    altair.TopLevelMixin
    """
    texts, rows = source.texts, read_proof(marts, source)
    lfv, every = (read_places(marts, source, is_lfv) for is_lfv in (True, False))
    # Published files locate LFV images only: the second panel would be the first again.
    drawn = [("a", texts["spatial_a"], lfv)]
    if every.total > lfv.total:
        drawn.append(("b", texts["spatial_b"], every))
    drawn = [item for item in drawn if item[2].total]
    shown, note = limit_rows(source, rows)
    caption = [*_describe(source, rows[0], lfv, drawn), note] if drawn else []
    title = make_title(source, "spatial_title", caption)
    if not drawn:
        return theme.draw_message("", [], texts["no_places"]).properties(title=title)
    canvas, bottom = Canvas(), 0.0
    for number, (letter, head, places) in enumerate(drawn):
        x = number * (PANEL_PT + GAP_PT)
        text = f"{head} (n\u00a0=\u00a0{places.total:,})"
        canvas.add_texts([make_text(x, 4, letter)], weight="bold")
        canvas.add_texts([make_text(x + 9, 4, text)], size=theme.TEXT_PT + 0.5)
        bottom = max(bottom, _draw_map(canvas, x, HEAD_PT, places, texts))
    bottom = _draw_statistics(canvas, bottom + 12, source, shown)
    return canvas.draw(WIDTH_PT, bottom + 2, title)


def _draw_map(canvas: Canvas, x: int, y: int, places: Places, texts: Mapping[str, str]) -> float:
    """Draw the counts of a grid with the published zone; return where it ends."""
    rows, cols = places.grid
    side = min(PANEL_PT / cols, TALLEST_PT / rows)
    step = -(-max(rows, cols) // MOST_CELLS)
    counts = _pool(places.count_places(), step)
    most = int(counts.max())
    filled = [(int(row), int(col)) for row, col in np.argwhere(counts)]
    shades = _shade([counts[place] for place in filled], most)
    canvas.add_boxes([make_box(x, y, cols * side, rows * side, "#FFFFFF")], stroke="#888888")
    canvas.add_boxes(
        [
            make_box(
                x + col * step * side,
                y + row * step * side,
                side * min(step, cols - col * step),
                side * min(step, rows - row * step),
                shade,
            )
            for (row, col), shade in zip(filled, shades, strict=True)
        ]
    )
    _draw_zone(canvas, x, y, side, (rows, cols))
    bottom = y + rows * side + 5
    _draw_bar(canvas, x, bottom, most, texts)
    return bottom + 15


def _pool(counts: npt.NDArray[np.int64], step: int) -> npt.NDArray[np.int64]:
    """Sum squares of step x step blocks; the last may be cut by the grid."""
    pad = [(0, -size % step) for size in counts.shape]
    padded = np.pad(counts, pad)
    rows, cols = padded.shape
    found: npt.NDArray[np.int64] = padded.reshape(rows // step, step, cols // step, step).sum(
        axis=(1, 3)
    )
    return found


def _shade(counts: Sequence[int], most: int) -> list[str]:
    shares = np.sqrt(np.asarray(counts, float) / most)
    return theme.to_hex(theme.diverging_colours(-0.1 - 0.9 * shares))


def _draw_zone(canvas: Canvas, x: int, y: int, side: float, grid: tuple[int, int]) -> None:
    """Outline the published centre (definitions D.1): rows and columns R / 4 to 3 R / 4."""
    (top, bottom), (left, right) = ((-(-size // 4), 3 * size // 4 + 1) for size in grid)
    lines = [
        make_box(x + left * side, y + place * side, (right - left) * side, 0, theme.VERMILLION)
        for place in (top, bottom)
    ]
    lines += [
        make_box(x + place * side, y + top * side, 0, (bottom - top) * side, theme.VERMILLION)
        for place in (left, right)
    ]
    canvas.add_lines(lines, 0.8)


def _draw_bar(canvas: Canvas, x: int, y: float, most: int, texts: Mapping[str, str]) -> None:
    steps = min(most, 12)
    values = [max(1, round(most * ((n + 1) / steps) ** 2)) for n in range(steps)]
    width = 84 / steps
    canvas.add_texts([make_text(x, y + 4, texts["count_bar"])])
    start = x + 9 + measure_text(texts["count_bar"], theme.TEXT_PT)
    canvas.add_texts([make_text(start, y + 4, str(values[0]))], align="right")
    canvas.add_boxes(
        [
            make_box(start + 3 + n * width, y, width, 8, shade)
            for n, shade in enumerate(_shade(values, most))
        ]
    )
    if most > 1:
        canvas.add_texts([make_text(start + 3 + steps * width + 3, y + 4, f"{most:,}")])
    canvas.add_lines([make_box(start + 118, y + 4, 12, 0, theme.VERMILLION)], 0.8)
    canvas.add_texts([make_text(start + 133, y + 4, texts["zone"])])


def _draw_statistics(
    canvas: Canvas, y: float, source: Source, rows: Sequence[dict[str, Any]]
) -> float:
    texts = source.texts
    heads = texts["spatial_table"]
    groups = [
        ("", [("", LABEL_PT), (heads["located"], 52)]),
        (texts["published"], [(heads["published_index"], 88)]),
        (
            texts["corrected"],
            [
                (heads["null_index"], 32),
                (heads["centred_index"], 72),
                (heads["zone"], 70),
                (heads["percentile"], 58),
                (heads["frame"], 40),
            ],
        ),
    ]
    return draw_table(canvas, y, groups, [_list_cells(source, row) for row in rows])


def _list_cells(source: Source, row: Mapping[str, Any]) -> list[str]:
    strength = source.texts["strengths"].get(row["spatial_dependency_strength"], NONE)
    published = NONE
    if row["boundary_bias_index"] is not None:
        index, p = spell(row["boundary_bias_index"], 3), spell_p(row["boundary_p_value"])
        published = f"{index}, {p}, {strength}"
    low, high = (row[f"centred_boundary_bias_index_{end}"] for end in ("low", "high"))
    zone, expected = NONE, row["null_boundary_ratio"]
    if expected is not None:
        found = row["boundary_count"] / row["lfv_located_count"]
        zone = (
            f"{100 * found:.0f} / {100 * expected:.1f} %, {spell_p(row['boundary_exact_p_value'])}"
        )
    percentile = NONE
    if row["location_percentile"] is not None:
        percentile = spell(row["location_percentile"], 2)
        if row["location_p_value"] is not None:
            percentile += f", {spell_p(row['location_p_value'])}"
    frame = NONE
    if row["frame_ratio"] is not None:
        chance = row["null_frame_ratio"]
        expected = NONE if chance is None else spell(100 * chance, 1)
        frame = f"{100 * row['frame_ratio']:.0f} / {expected} %"
    return [
        cut(row["label"], LABEL_PT),
        f"{row['lfv_located_count']:,} / {row['located_count']:,}",
        published,
        spell(row["null_boundary_bias_index"], 4),
        spell(row["centred_boundary_bias_index"], 2) + spell_interval(low, high, 2),
        zone,
        percentile,
        frame,
    ]


def _describe(
    source: Source, pooled: Mapping[str, Any], lfv: Places, drawn: Sequence[tuple[str, str, Places]]
) -> list[str]:
    texts = source.texts
    places = drawn[0][2]
    rows, cols = places.grid
    step = -(-max(rows, cols) // MOST_CELLS)
    others = sum(count for grid, count in drawn[-1][2].grids.items() if grid != places.grid)
    has_lfv = bool(lfv.total)
    return [
        texts["spatial_caption_map"].format(rows=rows, cols=cols),
        texts["spatial_caption_cell"].format(step=step) if step > 1 else "",
        texts["spatial_caption_grids"].format(count=f"{others:,}") if others else "",
        texts["spatial_caption_null"].format(
            index=spell(pooled["null_boundary_bias_index"], 4),
            share=spell_pct(pooled["null_boundary_ratio"]),
        )
        if has_lfv
        else "",
        texts["spatial_caption_table"],
        describe_clusters(source, pooled),
        texts["spatial_caption_content"],
    ]
