"""Maps of Axis1 over one image: where a model added and where it took away."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
from PIL import Image

from upscale_audit.analysis import theme
from upscale_audit.analysis.marts import ORIGIN, quote_text
from upscale_audit.analysis.png import encode_png
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.images import decode_image
from upscale_audit.ingest.windows import PLAIN, recall_display

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from upscale_audit.analysis.marts import Marts
    from upscale_audit.ingest.windows import Display


TITLE = "Axis1, block by block"
REFERENCE_PX = 640
LEGEND_STEPS = 41
SHORT_TITLE = 8
GAP_PT = 8
TALLEST_PT = 200


@dataclass(frozen=True)
class ColourScale:
    """Colours of values from `low` to `high`; beyond them the end's.

    Around 0 they run from blue through white to red, of magnitudes from white to blue.
    """

    title: str
    low: float
    high: float

    @property
    def is_signed(self) -> bool:
        """Whether 0 is the middle."""
        return self.low == -self.high

    def paint(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        """Paint values of any shape; NaN is grey. The shape with 3 added, uint8, sRGB."""
        values = np.asarray(values, dtype=float)
        if self.is_signed:
            return theme.diverging_colours(values / self.high)
        share = (values - self.low) / ((self.high - self.low) or 1)
        return theme.diverging_colours(-share.clip(0, 1))

    @property
    def ticks(self) -> list[float]:
        """The values that the legend names."""
        count = 5 if self.is_signed else 3
        return [float(value) for value in np.linspace(self.low, self.high, count)]


def choose_images(marts: Marts) -> list[str]:
    """Choose the images to map: the most changed one and a typical one.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    list of str
        The image with the largest mean |Axis1| over all models and the one with the
        median; empty where no block has a score.
    """
    ranked = [
        row["image_id"]
        for row in marts.rows(
            "select image_id from fct_blocks where axis1_notta is not null group by image_id"
            " order by sum(abs(axis1_notta)) / count(*) desc, image_id"
        )
    ]
    # Largest and median, so that the worst image is never taken for the usual one.
    return list(dict.fromkeys([ranked[0], ranked[len(ranked) // 2]])) if ranked else []


def find_limit(marts: Marts, images: Sequence[str]) -> float:
    """Find the end of the colour scale that all maps share: the largest |Axis1| among them."""
    if not images:
        return 0.1
    names = ", ".join(quote_text(image) for image in images)
    (row,) = marts.rows(
        "select cast(max(abs(axis1_notta)) as double) as largest"
        f" from fct_blocks where image_id in ({names})"
    )
    return max(0.1, math.ceil((row["largest"] or 0) * 10) / 10)


def draw_blockmap(marts: Marts, references: Path, image_id: str, limit: float) -> alt.ConcatChart:
    """Draw the reference of an image beside the map of Axis1 of each model.

    Parameters
    ----------
    marts : analysis.marts.Marts
    references : Path
        Folder of the reference images.
    image_id : str
    limit : float
        Axis1 at both ends of the colour scale.

    Returns
    -------
    altair.TopLevelMixin

    Raises
    ------
    StudyError
        The reference is missing, or is not the file that was measured.
    """
    (image,) = marts.rows(
        "select file_name, file_sha256, width_px, height_px, block_rows, block_cols"
        f" from dim_images where image_id = {quote_text(image_id)}"
    )
    blocks = marts.frame(
        "select model_id, block_row, block_col, cast(axis1_notta as double) as axis1"
        f" from fct_blocks where image_id = {quote_text(image_id)}"
        " order by model_id, block_row, block_col"
    )
    panel_count = len(marts.models) + 1
    columns = min(panel_count, 3 if panel_count <= 6 else 4)
    rows_per_col = image["block_rows"] / image["block_cols"]
    width = round((theme.DOUBLE_COLUMN_PT - 12 - GAP_PT * (columns - 1)) / columns)
    width = min(width, round(TALLEST_PT / rows_per_col))
    size_pt = width, max(1, round(width * rows_per_col))
    display = find_display(marts, image_id)
    reference = read_reference(references, image, display)
    panels = [draw_panel(reference, size_pt, "Reference", image_id)]
    for model_id in marts.models:
        own = blocks.filter(blocks["model_id"] == model_id)
        raster = paint_blocks(own, image["block_rows"], image["block_cols"], limit)
        # Only maps carry the colour scale, so that the reference's greys are not read on it.
        panels.append(
            draw_panel(
                raster,
                size_pt,
                theme.break_label(marts.labels[model_id], 24),
                _summarise(own),
                ColourScale("Axis1", -limit, limit),
            )
        )
    return alt.concat(*panels, columns=columns, spacing=GAP_PT).properties(
        title=_make_title(image_id, image, blocks, limit, marts.describe_axis())
    )


def find_display(
    marts: Marts, image_id: str, role: str = "reference", model_id: str | None = None
) -> Display:
    """Find how a file of an image was shown when it was measured."""
    model = "is null" if model_id is None else f"= {quote_text(model_id)}"
    rows = marts.rows(
        "select window_rule, window_low, window_high, rescale_slope, rescale_intercept, is_inverted"
        f" from dim_source_files where image_id = {quote_text(image_id)} and role = '{role}'"
        f" and model_id {model} order by inference_path limit 1"
    )
    return recall_display(rows[0]) if rows else PLAIN


def read_reference(
    references: Path, image: Mapping[str, Any], display: Display, whole: bool = False
) -> npt.NDArray[np.uint8]:
    """Read a reference for display: grey, padded to whole blocks, shrunk to print size.

    Parameters
    ----------
    references : Path
    image : dict
        file_name, file_sha256, width_px, height_px, block_rows, block_cols of `dim_images`.
    display : ingest.windows.Display
        By which the measured one was shown in 8 bits.
    whole : bool
        Every pixel as it is: neither padded nor shrunk.

    Returns
    -------
    numpy.ndarray
        Shape (M, N), uint8.

    Raises
    ------
    StudyError
        The file is missing, or is not the one that was measured.
    """
    path = references / image["file_name"]
    if not path.is_file():
        raise StudyError(
            f"no reference {image['file_name']!r} in {references}, where ingest measured it;"
            " put it back, or run upscale-audit ingest and build"
        )
    if image["file_sha256"] != hash_file(path):
        raise StudyError(
            f"{path} is not the reference that was measured (its SHA-256 differs);"
            " run upscale-audit ingest and build"
        )
    pixels = image["width_px"] * image["height_px"]
    grey = decode_image(path.read_bytes(), path.suffix.lower(), pixels, "reduce", display).grey
    if whole:
        return grey
    padded = np.full((8 * image["block_rows"], 8 * image["block_cols"]), 255, np.uint8)
    padded[: grey.shape[0], : grey.shape[1]] = grey
    shrunk = Image.fromarray(padded)
    shrunk.thumbnail((REFERENCE_PX, REFERENCE_PX), Image.Resampling.LANCZOS)
    return np.asarray(shrunk)


def paint_blocks(
    blocks: pl.DataFrame, block_rows: int, block_cols: int, limit: float
) -> npt.NDArray[np.uint8]:
    """Paint the scores of one image and model, each block as a square of pixels.

    Parameters
    ----------
    blocks : polars.DataFrame
        block_row, block_col, axis1; a block without a row or a score is grey.
    block_rows, block_cols : int
    limit : float
        Axis1 that gets the last colour.

    Returns
    -------
    numpy.ndarray
        Shape (M, N, 3), uint8, sRGB.
    """
    scale = ColourScale("Axis1", -limit, limit)
    return paint_values(blocks, "axis1", (block_rows, block_cols), scale)


def paint_values(
    blocks: pl.DataFrame, column: str, shape: tuple[int, int], scale: ColourScale
) -> npt.NDArray[np.uint8]:
    """Paint a column of one image and model, each block as a square of pixels.

    Parameters
    ----------
    blocks : polars.DataFrame
        block_row, block_col and the column; a block without a row or a value is grey.
    column : str
    shape : tuple of int
        Rows and columns of blocks.
    scale : ColourScale

    Returns
    -------
    numpy.ndarray
        Shape (M, N, 3), uint8, sRGB.
    """
    values = np.full(shape, np.nan)
    known = blocks.drop_nulls(column)
    values[known["block_row"].to_numpy(), known["block_col"].to_numpy()] = known[column].to_numpy()
    # Blocks are enlarged here: renderers differ in how they smooth an enlarged image.
    side = max(1, round(REFERENCE_PX / max(shape)))
    return scale.paint(values).repeat(side, axis=0).repeat(side, axis=1)


def draw_panel(
    pixels: npt.NDArray[np.uint8],
    size_pt: tuple[int, int],
    name: str,
    summary: str,
    scale: ColourScale | None = None,
) -> alt.LayerChart:
    """Draw pixels under their name and a line; with a scale, its legend goes above all panels."""
    uri = encode_png(pixels)
    width, height = size_pt
    raster = (
        alt.Chart(theme.make_data([{"uri": uri}]))
        .mark_image(
            align="left",
            baseline="top",
            aspect=False,
            width=width,
            height=height,
            # Otherwise the label read aloud, and written beside the image, is the whole URI.
            description=f"{name}: {summary}",
        )
        .encode(
            x=alt.value(0),
            y=alt.value(0),
            url="uri:N",
        )
    )
    title = alt.TitleParams(
        name,
        subtitle=summary,
        fontSize=theme.TEXT_PT + 0.5,
        subtitleFontSize=theme.TEXT_PT,
        frame="group",
        offset=3,
        subtitlePadding=1,
    )
    if scale is None:
        return alt.layer(raster, title=title, width=width, height=height)
    layers = (raster, _draw_scale(scale, width, height))
    return alt.layer(*layers, title=title, width=width, height=height)


def _draw_scale(scale: ColourScale, width: int, height: int) -> alt.Chart:
    steps = np.linspace(scale.low, scale.high, LEGEND_STEPS)
    colours = alt.Scale(
        # Of six digits, for a domain in full would not be told from its neighbour's.
        domain=[float(f"{step:.6g}") for step in steps],
        range=theme.to_hex(scale.paint(steps)),
    )
    # A long title stands above its bar, which then is no wider than what it is the scale of.
    is_short = len(scale.title) <= SHORT_TITLE
    legend = alt.Legend(
        direction="horizontal",
        gradientLength=180 if is_short else min(180, width),
        gradientThickness=8,
        values=scale.ticks,
        format=".3~g",
        titleOrient="left" if is_short else "top",
        titleAlign="right" if is_short else "left",
    )
    # Images have no colour channel: an invisible point carries the scale into the legend.
    return (
        alt.Chart(theme.make_data([{"value": scale.low}]))
        .mark_point(opacity=0)
        .encode(
            x=alt.value(width / 2),
            y=alt.value(height / 2),
            color=alt.Color("value:Q", title=scale.title, scale=colours, legend=legend),
        )
    )


def _summarise(blocks: pl.DataFrame) -> str:
    known = blocks["axis1"].drop_nulls()
    if known.is_empty():
        return "not measured"
    positive = 100 * (known > 0).mean()
    return f"mean {known.mean():+.2f}, {positive:.0f} % positive".replace("-", "\u2212")


def _make_title(
    image_id: str, image: Mapping[str, Any], blocks: pl.DataFrame, limit: float, axis: str
) -> alt.TitleParams:
    size = f"{image['width_px']} \u00d7 {image['height_px']} px"
    count = image["block_rows"] * image["block_cols"]
    missing = blocks["axis1"].null_count()
    caption = [
        "Axis1 = sign(PC1) ln(1 + |PC1|), dimensionless, of each 8 \u00d7 8 px block restored"
        " without test-time augmentation; red: gained contrast and detail, blue: lost them, white:"
        f" {ORIGIN}.",
        axis,
        f"n = {theme.count_noun(count, 'block')} per model ({size}); above each map, their mean and"
        " the share of them that is positive.",
        f"One scale for all maps, ending at the largest |Axis1| of the images drawn, {limit:g}.",
        f"Grey: no score ({theme.count_noun(missing, 'block')} of the models drawn; mart_coverage"
        " counts the causes)."
        if missing
        else "",
    ]
    return theme.make_title(f"{TITLE}: {image_id}", caption)
