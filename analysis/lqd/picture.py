"""A map for papers: reference, restored image, difference and LQD map on one page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.lqd.classes import (
    CLASSES,
    HALLUCINATION,
    PALETTES,
    STOPS,
    classify,
    count_classes,
    paint,
    trace_outline,
)
from upscale_audit.analysis.lqd.svg import Drawing, shrink, spread_patches, write_drawing
from upscale_audit.analysis.lqd.texts import font_family, get_texts

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.lqd.marks import Marks
    from upscale_audit.analysis.lqd.measure import QualityMap
    from upscale_audit.analysis.lqd.scene import Scene


NAME = "p6_local_quality_heatmap"
RASTER_PX = 1024
MARK_COLOUR = theme.ORANGE
OUTLINES = {"published": "#FF0000", "safe": "#FFFFFF"}
"""Colour of the outline of patches below 0.70, by palette."""
DIFFERENCE_LIMITS_DN = (4, 8, 16, 32, 64, 128, 255)
WITHIN_RATIO = 0.995
_GAP_PT, _HEADER_PT, _BAR_PT, _TALLEST_PT = 12, 14, 24, 300


def draw_picture(
    scene: Scene,
    quality_map: QualityMap,
    folder: Path,
    language: str = "en",
    palette: str = "published",
    marks: Marks | None = None,
) -> list[Path]:
    """Draw a map with its images as PNG, SVG and PDF.

    Parameters
    ----------
    scene : analysis.lqd.scene.Scene
        Its first view is drawn.
    quality_map : analysis.lqd.measure.QualityMap
        Of that view.
    folder : Path
    language : {"en", "ja"}
    palette : {"published", "safe"}
        Colours as published, or ones that differ in lightness, for any eye; these have a name of
        their own.
    marks : analysis.lqd.marks.Marks, optional
        Blocks to frame on the restored image.

    Returns
    -------
    list of Path

    Raises
    ------
    StudyError
        Japanese without a font that has it.
    """
    text, view = get_texts(language), scene.views[0]
    drawing = Drawing(theme.DOUBLE_COLUMN_PT, font_family(language))
    drawing.add_text(
        0, theme.TITLE_PT, f"{text['title']}: {scene.image_id}", theme.TITLE_PT, bold=True
    )
    difference = view.restored.astype(np.int16) - scene.reference
    limit = choose_limit(difference)
    caption = _caption(text, quality_map, difference, limit, palette)
    if marks is not None:
        caption += text["between"] + describe_marks(text, marks)
    y = drawing.add_paragraph(0, theme.TITLE_PT + 2, caption, drawing.width_pt) + 8
    width, height = _panel_size(quality_map)
    left = [0, width + _GAP_PT]
    second = y + _HEADER_PT + height + 6
    restored = text["restored_by"].format(model=view.label, path=text[view.inference_path])
    reference_panel = shrink(scene.reference, RASTER_PX)
    _panel(drawing, left[0], y, (width, height), "a", text["reference"], reference_panel)
    _panel(drawing, left[1], y, (width, height), "b", restored, shrink(view.restored, RASTER_PX))
    if marks is not None:
        place = left[1], y + _HEADER_PT
        _frame_marks(drawing, place, (width, height), marks, quality_map.width_px)
    painted = theme.diverging_colours((difference / limit).clip(-1, 1))
    name = text["difference_unit"]
    _panel(drawing, left[0], second, (width, height), "c", name, _shrink_colours(painted))
    _map_panel(drawing, left[1], second, (width, height), quality_map, text, palette)
    bars = second + _HEADER_PT + height + 5
    _difference_bar(drawing, left[0], bars, width, limit)
    draw_ssim_bar(drawing, left[1], bars, width, text, palette)
    bottom = _shares(drawing, bars + _BAR_PT + 14, quality_map, text, palette)
    name = NAME if palette == "published" else f"{NAME}_{palette}"
    return write_drawing(drawing, bottom + 4, folder, name)


def choose_limit(difference: npt.NDArray[np.int16]) -> int:
    """Choose the end of the difference scale.

    Parameters
    ----------
    difference : integer array
        In dn.

    Returns
    -------
    int
        The smallest of 4, 8, 16 .. 255 dn that holds 99.5 % of the pixels.
    """
    for limit in DIFFERENCE_LIMITS_DN:
        if (np.abs(difference) <= limit).mean() >= WITHIN_RATIO:
            return limit
    return DIFFERENCE_LIMITS_DN[-1]


def draw_ssim_bar(
    drawing: Drawing,
    x: float,
    y: float,
    width: float,
    text: Mapping[str, str],
    palette: str = "published",
) -> None:
    """Draw the colour bar of local SSIM, 0 to 1, with the class limits."""
    stops = list(zip(STOPS, PALETTES[palette], strict=True))
    drawing.add_gradient_bar(x, y, width, 6, stops)
    for position, row in ((0, 0), (0.7, 0), (0.8, 0), (0.9, 0), (0.95, 1), (1, 0)):
        at = x + width * position
        drawing.add_rect(at - 0.25, y, 0.5, 8 + 7 * row, "#444")
        anchor = "start" if position == 0 else "end" if position == 1 else "middle"
        label = f"{position:.2f}" if 0 < position < 1 else str(position)
        drawing.add_text(at, y + 14 + 7 * row, label, 6, anchor)
    drawing.add_text(x + width * 0.35, y + 14, text["local_ssim"], 6.5, "middle")


def _caption(
    text: Mapping[str, str],
    quality_map: QualityMap,
    difference: npt.NDArray[np.int16],
    limit: int,
    palette: str,
) -> str:
    measured = quality_map.local_ssim[~quality_map.is_partial]
    numbers = {
        "patch": quality_map.patch_px,
        "n": f"{measured.size:,}",
        "width": quality_map.width_px,
        "height": quality_map.height_px,
        "mean": spell(measured.mean()),
        "sd": spell(measured.std()),
        "median": spell(np.median(measured)),
        "minimum": spell(measured.min()),
        "count": f"{int(quality_map.is_partial.sum()):,}",
        "limit": limit,
        "beyond": f"{100 * (np.abs(difference) > limit).mean():.2f}",
        "largest": spell(int(difference.flat[np.abs(difference).argmax()]), 0, sign="+"),
    }
    colours = "caption_colours" if palette == "published" else f"caption_colours_{palette}"
    keys = ["caption_method", "caption_n", colours, "caption_difference"]
    if quality_map.is_partial.any():
        keys.insert(2, "caption_partial")
    return text["between"].join(text[key].format(**numbers) for key in keys)


def describe_marks(text: Mapping[str, str], marks: Marks) -> str:
    """Say what is framed, and what is known of the limit.

    Parameters
    ----------
    text : dict
        Words of a language.
    marks : analysis.lqd.marks.Marks

    Returns
    -------
    str
    """
    numbers = {
        "detector": marks.detector,
        "reading": text[f"reading_{marks.reading}"],
        "limit": _spell_limit(marks.limit),
        "count": f"{int(marks.is_beyond.sum()):,}",
        "n": f"{marks.value_count:,}",
    }
    framed, row = text["caption_marks"].format(**numbers), marks.measured
    if row is None:
        return framed + text["between"] + text["caption_marks_unknown"]
    known = {
        "study": row["measured_in"],
        "alarms": f"{row['alarm_count']:,}",
        "shams": f"{row['sham_count']:,}",
        "share": f"{100 * row['false_alarm_ratio']:.2g}",
        "interval": "",
        "nearest": "",
        "found": f"{row['found_count']:,}",
        "drawn": f"{row['drawn_count']:,}",
        "thing": row["kind"],
        "contrast": "" if row["contrast_dn"] is None else f" ({row['contrast_dn']} dn)",
    }
    if row["false_alarm_low_ratio"] is not None:
        low, high = (f"{100 * row[f'false_alarm_{end}_ratio']:.2g}" for end in ("low", "high"))
        known["interval"] = text["marks_interval"].format(low=low, high=high)
    if row["limit_score"] != marks.limit:
        known["nearest"] = text["marks_nearest"].format(limit=_spell_limit(row["limit_score"]))
    return framed + text["between"] + text["caption_marks_known"].format(**known)


def _spell_limit(limit: float) -> str:
    return f"{limit:.6g}".replace("-", "\u2212")


def _frame_marks(
    drawing: Drawing,
    place: tuple[float, float],
    size: tuple[float, float],
    marks: Marks,
    width_px: int,
) -> None:
    """Frame the marked blocks over a panel."""
    scale = size[0] * 8 / width_px
    segments = trace_outline(marks.is_beyond)
    drawing.add_outline(*place, scale, segments, (size[1], size[0]), 0.5, MARK_COLOUR)


def spell(value: float | int, digits: int = 4, sign: str = "") -> str:
    """Spell a number with a fixed count of digits and a true minus sign."""
    return f"{value:{sign}.{digits}f}".replace("-", "\u2212")


def _panel_size(quality_map: QualityMap) -> tuple[float, float]:
    width = (theme.DOUBLE_COLUMN_PT - _GAP_PT) / 2
    height = width * quality_map.height_px / quality_map.width_px
    scale = min(1, _TALLEST_PT / height)
    return width * scale, height * scale


def _panel(
    drawing: Drawing,
    x: float,
    y: float,
    size: tuple[float, float],
    letter: str,
    name: str,
    pixels: npt.NDArray[np.uint8],
    is_blocks: bool = False,
) -> None:
    drawing.add_text(x, y + 9, letter, theme.CAPTION_PT + 0.5, bold=True)
    drawing.add_text(x + 9, y + 9, name, theme.CAPTION_PT)
    drawing.add_raster(x, y + _HEADER_PT, *size, pixels, is_blocks)


def _map_panel(
    drawing: Drawing,
    x: float,
    y: float,
    size: tuple[float, float],
    quality_map: QualityMap,
    text: Mapping[str, str],
    palette: str,
) -> None:
    name = text["map_patch"].format(patch=quality_map.patch_px)
    _panel(drawing, x, y, size, "d", name, raster_map(quality_map, RASTER_PX, palette), True)
    colour = OUTLINES[palette]
    draw_outline(drawing, x, y + _HEADER_PT, size, quality_map, colour)


def raster_map(
    quality_map: QualityMap, longest_px: int, palette: str = "published"
) -> npt.NDArray[np.uint8]:
    """Paint a map at about the given size, cut to the image's shape, (M, N, 3) uint8."""
    painted = paint(quality_map.local_ssim, palette)
    shape = quality_map.height_px, quality_map.width_px
    return spread_patches(painted, quality_map.patch_px, *shape, longest_px)


def draw_outline(
    drawing: Drawing,
    x: float,
    y: float,
    size: tuple[float, float],
    quality_map: QualityMap,
    colour: str,
) -> None:
    """Outline the patches below 0.70 over a panel of this size."""
    segments = trace_outline(classify(quality_map.local_ssim) == HALLUCINATION)
    scale = size[0] * quality_map.patch_px / quality_map.width_px
    drawing.add_outline(x, y, scale, segments, (size[1], size[0]), 0.6, colour)


def _shrink_colours(painted: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.stack([shrink(channel, RASTER_PX) for channel in np.moveaxis(painted, 2, 0)], -1)


def _difference_bar(drawing: Drawing, x: float, y: float, width: float, limit: int) -> None:
    ends = np.linspace(-1, 1, 21)
    colours = theme.to_hex(theme.diverging_colours(ends))
    drawing.add_gradient_bar(x, y, width, 6, zip((ends + 1) / 2, colours, strict=True))
    for share, anchor in (
        (0, "start"),
        (0.25, "middle"),
        (0.5, "middle"),
        (0.75, "middle"),
        (1, "end"),
    ):
        value = spell(limit * (2 * share - 1), 0 if limit % 2 == 0 else 1, sign="+")
        value = "0" if share == 0.5 else value.removesuffix(".0")
        drawing.add_rect(x + width * share - 0.25, y, 0.5, 8, "#444")
        drawing.add_text(x + width * share, y + 14, value, 6, anchor)
    drawing.add_text(x + width, y + 21, "dn", 6, "end")


def _shares(
    drawing: Drawing, y: float, quality_map: QualityMap, text: Mapping[str, str], palette: str
) -> float:
    """Draw the share of each class as a bar with its legend; return where it ends."""
    counts = count_classes(quality_map.local_ssim)
    total = sum(counts)
    colours = (*reversed(PALETTES[palette][:-1]),)
    drawing.add_text(0, y, text["shares"], theme.CAPTION_PT, bold=True)
    x = 0.0
    for count, colour in zip(counts, colours, strict=True):
        width = drawing.width_pt * count / total
        drawing.add_rect(x, y + 4, width, 7, colour)
        x += width
    step = drawing.width_pt / len(CLASSES)
    upper = "\u2264 1"
    for number, (item, count, colour) in enumerate(zip(CLASSES, counts, colours, strict=True)):
        x = number * step
        edge = OUTLINES[palette] if item.lower_bound is None else "none"
        drawing.add_rect(x, y + 16, 7, 7, colour, edge)
        drawing.add_text(x + 10, y + 22, text[item.key], theme.TEXT_PT, bold=True)
        bounds = (
            f"{item.lower_bound:.2f} \u2264 SSIM {upper}" if item.lower_bound else "SSIM < 0.70"
        )
        upper = f"< {item.lower_bound:.2f}" if item.lower_bound else ""
        drawing.add_text(x + 10, y + 31, bounds, 6.5)
        share = 100 * count / total
        drawing.add_text(x + 10, y + 40, f"{share:.2f} % ({count:,})", 6.5)
    return y + 42
