"""Small SVG drawings in points: text, rasters, outlines; written as SVG and PNG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import vl_convert
from PIL import Image

from upscale_audit.analysis import theme
from upscale_audit.analysis.fonts import choose_family
from upscale_audit.analysis.lqd.texts import wrap_text
from upscale_audit.analysis.output import PRINT_DPI
from upscale_audit.analysis.pages import spell_text
from upscale_audit.analysis.pdf import draw_pdf
from upscale_audit.analysis.png import encode_png
from upscale_audit.ingest.files import replacing, write_text

if TYPE_CHECKING:
    import numpy.typing as npt


MARGIN_PT = 3


class Drawing:
    """An SVG in points that grows downwards.

    Parameters
    ----------
    width_pt : float
    family : str
        CSS font family.
    """

    def __init__(self, width_pt: float, family: str) -> None:
        self.width_pt, self._family = width_pt, family
        self._parts: list[str] = []
        self._definitions: list[str] = []

    def add(self, part: str) -> None:
        """Add a piece of SVG."""
        self._parts.append(part)

    def add_text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = theme.TEXT_PT,
        anchor: str = "start",
        bold: bool = False,
        fill: str = "#222",
    ) -> None:
        """Write one line with its baseline at `y`."""
        weight = ' font-weight="bold"' if bold else ""
        self.add(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" text-anchor="{anchor}"'
            f'{weight} fill="{fill}">{escape(spell_text(text), quote=False)}</text>'
        )

    def add_paragraph(self, x: float, y: float, text: str, width: float) -> float:
        """Write wrapped lines of a caption; return where the last one ends."""
        for line in wrap_text(text, width, theme.CAPTION_PT):
            y += theme.CAPTION_PT + 2.5
            self.add_text(x, y, line, theme.CAPTION_PT, fill="#333")
        return y

    def add_rect(
        self, x: float, y: float, width: float, height: float, fill: str, stroke: str = "none"
    ) -> None:
        """Draw a rectangle."""
        self.add(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
            f' fill="{fill}" stroke="{stroke}" stroke-width="0.5"/>'
        )

    def add_raster(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        pixels: npt.NDArray[np.uint8],
        is_blocks: bool = False,
    ) -> None:
        """Put an image, stretched to the rectangle; blocks keep their edges."""
        crisp = (
            ' image-rendering="optimizeSpeed" style="image-rendering:pixelated"'
            if is_blocks
            else ""
        )
        self.add(
            f'<image x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
            f' preserveAspectRatio="none"{crisp} href="{encode_png(pixels)}"/>'
        )
        self.add_rect(x, y, width, height, "none", theme.PALE_GREY)

    def add_outline(
        self,
        x: float,
        y: float,
        scale: float,
        segments: Sequence[tuple[int, ...]],
        limits: tuple[float, float],
        width: float,
        colour: str = "#FF0000",
    ) -> None:
        """Draw segments (row, col, row, col), `scale` points each, inside `limits`."""
        bottom, right = limits
        path = "".join(
            f"M{_n(x + min(c0 * scale, right))} {_n(y + min(r0 * scale, bottom))}"
            f"L{_n(x + min(c1 * scale, right))} {_n(y + min(r1 * scale, bottom))}"
            for r0, c0, r1, c1 in segments
        )
        if path:
            self.add(
                f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"'
                ' stroke-linecap="square"/>'
            )

    def add_gradient_bar(
        self,
        x: float,
        y: float,
        width: float,
        height: int,
        colours: Iterable[tuple[float, str]],
    ) -> None:
        """Draw a horizontal colour bar of (offset 0..1, CSS colour) stops."""
        name = f"gradient{len(self._definitions)}"
        stops = "".join(
            f'<stop offset="{_n(offset, 4)}" stop-color="{colour}"/>' for offset, colour in colours
        )
        self._definitions.append(f'<linearGradient id="{name}">{stops}</linearGradient>')
        self.add_rect(x, y, width, height, f"url(#{name})", "#888")

    def to_svg(self, height_pt: float) -> str:
        """Spell the drawing."""
        width, height = _n(self.width_pt + 2 * MARGIN_PT), _n(height_pt + 2 * MARGIN_PT)
        family = choose_family(self._parts, self._family)
        origin = f'"{-MARGIN_PT}" y="{-MARGIN_PT}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt"'
            f' viewBox="{-MARGIN_PT} {-MARGIN_PT} {width} {height}"'
            f' font-family="{escape(family)}"><defs>{"".join(self._definitions)}</defs>'
            f'<rect x={origin} width="{width}" height="{height}" fill="#fff"/>'
            f"{''.join(self._parts)}</svg>\n"
        )


def write_drawing(drawing: Drawing, height_pt: float, folder: Path, name: str) -> list[Path]:
    """Write a drawing as PNG (300 dpi at print size), SVG and PDF, each whole or absent.

    Parameters
    ----------
    drawing : Drawing
    height_pt : float
    folder : Path
    name : str
        File name without its ending.

    Returns
    -------
    list of Path
    """
    svg = drawing.to_svg(height_pt)
    paths = [folder / f"{name}{ending}" for ending in (".png", ".svg", ".pdf")]
    # The renderer takes a point for 96 / 72 of a pixel, and `ppi` for a factor over 72.
    png = vl_convert.svg_to_png(svg, scale=72 / 96, ppi=PRINT_DPI)
    with replacing(paths[0]) as temporary:
        temporary.write_bytes(png)
    write_text(paths[1], svg)
    with replacing(paths[2]) as temporary:
        temporary.write_bytes(draw_pdf(svg))
    return paths


def shrink(grey: npt.NDArray[np.uint8], longest_px: int) -> npt.NDArray[np.uint8]:
    """Shrink a grey image, (M, N) uint8, so that no side is longer than `longest_px`."""
    if max(grey.shape) <= longest_px:
        return grey
    image = Image.fromarray(grey)
    image.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    return np.asarray(image)


def spread_patches(
    painted: npt.NDArray[np.uint8], patch_px: int, height_px: int, width_px: int, longest_px: int
) -> npt.NDArray[np.uint8]:
    """Repeat each patch's colour, (R, C, 3), over its pixels, cut to the image.

    Parameters
    ----------
    painted : (R, C, 3) uint8 array
    patch_px, height_px, width_px : int
    longest_px : int
        A patch gets as many pixels as keep the raster's longer side near this.

    Returns
    -------
    (M, N, 3) uint8 array
    """
    side = max(1, min(patch_px, longest_px * patch_px // max(height_px, width_px)))
    raster = painted.repeat(side, axis=0).repeat(side, axis=1)
    return raster[: round(height_px * side / patch_px), : round(width_px * side / patch_px)]


def _n(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")
