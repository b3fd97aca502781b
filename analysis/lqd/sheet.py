"""Contact sheet of the images a model restored worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.lqd.classes import (
    CLASSES,
    HALLUCINATION,
    classify,
    paint,
    trace_outline,
)
from upscale_audit.analysis.lqd.picture import draw_ssim_bar, spell
from upscale_audit.analysis.lqd.scene import check_name, load_scene, pair_images
from upscale_audit.analysis.lqd.svg import Drawing, shrink, spread_patches, write_drawing
from upscale_audit.analysis.lqd.texts import font_family, get_texts, name_place
from upscale_audit.analysis.marts import Marts, quote_text
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.study import INFERENCE_PATHS

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.lqd.scene import Scene
    from upscale_audit.ingest.study import Study


COLUMNS = 2
RASTER_PX = 340
_GAP_PT, _ROW_GAP_PT, _LABEL_PT, _TALLEST_PT = 3, 6, 19, 110


@dataclass(frozen=True, eq=False)
class WorstImage:
    """An image of the sheet: its name, its numbers and its map, (R, C) with NaN for NULL."""

    image_id: str
    mean_ssim: float
    min_ssim: float
    low_count: int
    block_count: int
    local_ssim: npt.NDArray[np.float64]


def rank_images(
    marts: Marts, model_id: str, inference_path: str, count: int
) -> tuple[list[WorstImage], int]:
    """Rank a model's images by mean local SSIM, worst first.

    Parameters
    ----------
    marts : analysis.marts.Marts
    model_id, inference_path : str
    count : int
        How many are returned.

    Returns
    -------
    worst : list of WorstImage
        Ties in the order of their names.
    total : int
        How many images have a measured block.
    """
    column = f"local_ssim_{inference_path}"
    of_model = f"from fct_blocks where model_id = {quote_text(model_id)} and {column} is not null"
    ranked = marts.rows(
        f"select image_id, cast(sum({column}) as double) / count(*) as mean_ssim,"
        f" cast(min({column}) as double) as min_ssim, count(*) as block_count,"
        f" count(*) filter (where {column} < {CLASSES[HALLUCINATION - 1].lower_bound}) as low_count"
        f" {of_model} group by image_id"
        f" order by sum({column}) / count(*), image_id"
    )
    worst = []
    for row in ranked[:count]:
        blocks = marts.frame(
            f"select block_row, block_col, cast({column} as double) as local_ssim from fct_blocks"
            f" where model_id = {quote_text(model_id)}"
            f" and image_id = {quote_text(row['image_id'])} order by block_row, block_col"
        )
        rows, cols = blocks["block_row"].to_numpy(), blocks["block_col"].to_numpy()
        grid = np.full((rows.max() + 1, cols.max() + 1), np.nan)
        grid[rows, cols] = blocks["local_ssim"].to_numpy()
        worst.append(WorstImage(**row, local_ssim=grid))
    return worst, len(ranked)


def draw_worst(
    study: Study,
    model_id: str,
    inference_path: str = "notta",
    count: int = 12,
    language: str = "en",
    folder: Path | None = None,
) -> tuple[list[Path], dict[str, str]]:
    """Draw the contact sheet of a model's worst images as PNG and SVG.

    Parameters
    ----------
    study : ingest.study.Study
        Built: the ranking is that of `fct_blocks`.
    model_id : str
    inference_path : {"notta", "tta"}
    count : int
        Images on the sheet, at most.
    language : {"en", "ja"}
    folder : Path, optional
        ``maps/`` of the study's output by default.

    Returns
    -------
    paths : list of Path
        In ``<path>_worst/<model>/`` of the folder.
    sources : dict
        SHA-256 of each image that was read, by its name within the study.

    Raises
    ------
    StudyError
        No warehouse, an unknown model, no measured image, or a file that is not the one
        that was measured.
    """
    if inference_path not in INFERENCE_PATHS:
        raise StudyError(
            f"inference path {inference_path!r}; expected {' or '.join(INFERENCE_PATHS)}"
        )
    with Marts(study.warehouse) as marts:
        check_name("model", model_id, marts.models, study)
        worst, total = rank_images(marts, model_id, inference_path, count)
        label = marts.labels[model_id]
    if not worst:
        raise StudyError(
            f"{model_id} has no measured {inference_path} block in {study.warehouse}; ask for the"
            " other path, or run upscale-audit ingest and build"
        )
    pairing = pair_images(study)
    text = get_texts(language)
    names = {"model": label, "path": text[inference_path]}
    drawing = Drawing(theme.DOUBLE_COLUMN_PT, font_family(language))
    title = text["worst_title"].format(**names)
    drawing.add_text(0, theme.TITLE_PT, title, theme.TITLE_PT, bold=True)
    caption = text["worst_caption"].format(shown=len(worst), n=f"{total:,}")
    y = drawing.add_paragraph(0, theme.TITLE_PT + 2, caption, drawing.width_pt) + 8
    draw_ssim_bar(drawing, drawing.width_pt - 200, y, 200, text)
    sources: dict[str, str] = {}
    bottom = y + 26
    width = (drawing.width_pt - 12 * (COLUMNS - 1)) / COLUMNS
    for start in range(0, len(worst), COLUMNS):
        top = bottom
        for column, image in enumerate(worst[start : start + COLUMNS]):
            scene = load_scene(
                study,
                image.image_id,
                model_id,
                inference_path,
                with_directions=False,
                pairing=pairing,
            )
            sources |= scene.sources
            place = column * (width + 12), top, width
            rank = f"{start + column + 1}"
            bottom = max(bottom, _draw_image(drawing, place, rank, scene, image, text))
    folder = (
        (folder or study.output / "maps")
        / name_place(f"{inference_path}_worst", language)
        / model_id
    )
    return write_drawing(drawing, bottom, folder, f"worst_{model_id}_{inference_path}"), sources


def _draw_image(
    drawing: Drawing,
    place: tuple[float, float, float],
    rank: str,
    scene: Scene,
    image: WorstImage,
    text: Mapping[str, str],
) -> float:
    """Draw the three thumbnails of an image and its numbers; return where they end."""
    x, y, width = place
    drawing.add_text(x, y + 8, f"{rank}  {image.image_id}", theme.TEXT_PT + 0.5, bold=True)
    numbers = text["worst_numbers"].format(
        mean=spell(image.mean_ssim),
        minimum=spell(image.min_ssim),
        share=f"{100 * image.low_count / image.block_count:.1f}",
        n=f"{image.block_count:,}",
    )
    drawing.add_text(x, y + 16, numbers, 6.5, fill="#333")
    height_px, width_px = scene.reference.shape
    panel_width = (width - 2 * _GAP_PT) / 3
    panel_height = panel_width * height_px / width_px
    scale = min(1, _TALLEST_PT / panel_height)
    size = panel_width * scale, panel_height * scale
    lefts = [x + number * (size[0] + _GAP_PT) for number in range(3)]
    top = y + _LABEL_PT
    drawing.add_raster(lefts[0], top, *size, shrink(scene.reference, RASTER_PX))
    drawing.add_raster(lefts[1], top, *size, shrink(scene.views[0].restored, RASTER_PX))
    _draw_map(drawing, lefts[2], top, size, image.local_ssim, scene.reference.shape)
    found: float = top + size[1] + _ROW_GAP_PT
    return found


def _draw_map(
    drawing: Drawing,
    x: float,
    y: float,
    size: tuple[float, float],
    local_ssim: npt.NDArray[np.float64],
    shape: tuple[int, int],
) -> None:
    raster = spread_patches(paint(local_ssim), 8, *shape, 4 * RASTER_PX)
    drawing.add_raster(x, y, *size, raster, is_blocks=True)
    segments = trace_outline(classify(local_ssim) == HALLUCINATION)
    drawing.add_outline(x, y, size[0] * 8 / shape[1], segments, (size[1], size[0]), 0.3)
