"""LQD maps: where in an image a model keeps its quality, and the images it restored worst.

Each map and each contact sheet is written into a folder of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_audit.analysis.lqd.classes import PALETTES
from upscale_audit.analysis.lqd.files import write_published
from upscale_audit.analysis.lqd.marks import read_marks
from upscale_audit.analysis.lqd.measure import measure_map
from upscale_audit.analysis.lqd.page import write_page
from upscale_audit.analysis.lqd.picture import draw_picture
from upscale_audit.analysis.lqd.scene import load_scene
from upscale_audit.analysis.lqd.sheet import draw_worst
from upscale_audit.analysis.lqd.texts import name_place

if TYPE_CHECKING:
    from upscale_audit.analysis.lqd.marks import MarkRule
    from upscale_audit.ingest.study import Study


__all__ = ["draw_map", "draw_worst"]


def draw_map(
    study: Study,
    image_id: str,
    model_id: str,
    inference_path: str = "notta",
    *,
    patch_px: int = 8,
    language: str = "en",
    also: Sequence[str] = (),
    folder: Path | None = None,
    mark: MarkRule | None = None,
) -> tuple[list[Path], dict[str, str]]:
    """Write the LQD map of one image: data, picture for papers, interactive page.

    Parameters
    ----------
    study : ingest.study.Study
    image_id, model_id : str
    inference_path : {"notta", "tta"}
    patch_px : {8, 16, 32, 64}
    language : {"en", "ja"}
    also : sequence of str
        More models for the interactive page.
    folder : Path, optional
        ``maps/`` of the study's output by default.
    mark : analysis.lqd.marks.MarkRule, optional
        Which blocks the picture frames; by default none.

    Returns
    -------
    paths : list of Path
        ``p6_local_quality_data.csv`` and its ``_statistics.csv``,
        ``p6_local_quality_heatmap`` as png, svg and html, in
        ``<path>_<patch>px/<model>/<image>/`` of the folder; with marks
        ``<path>_<patch>px_<detector>/``.
    sources : dict
        SHA-256 of each image that was read, by its name within the study.

    Raises
    ------
    StudyError
        Unknown names, missing or changed files, a patch larger than the image, or Japanese
        without a font that has it.
    """
    scene = load_scene(study, image_id, model_id, inference_path, also)
    view = scene.views[0]
    quality_map = measure_map(scene.reference, view.restored, patch_px=patch_px)
    name, marks = f"{inference_path}_{patch_px}px", None
    if mark is not None:
        marks = read_marks(study, image_id, model_id, inference_path, **mark)
        name += f"_{marks.detector}"
    folder = (folder or study.output / "maps") / name_place(name, language) / model_id / image_id
    paths = write_published(quality_map, folder)
    for palette in PALETTES:
        paths += draw_picture(scene, quality_map, folder, language, palette, marks)
    paths.append(write_page(scene, folder, patch_px=patch_px, language=language))
    return paths, scene.sources
