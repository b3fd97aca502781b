"""The figures of a study, drawn from its published warehouse."""

import logging
from functools import partial
from pathlib import Path

from analysis import theme
from analysis.axis import draw_axis1_distribution, draw_pca_basis
from analysis.blockmap import TITLE, choose_images, draw_blockmap, find_limit
from analysis.coverage import draw_coverage, is_complete
from analysis.intervals import draw_direction_components, draw_tta_effect
from analysis.marts import Marts
from analysis.output import write_chart

FIGURES = {
    "direction_components": draw_direction_components,
    "axis1_distribution": draw_axis1_distribution,
    "pca_basis": draw_pca_basis,
    "tta_effect": draw_tta_effect,
}
# Drawn or not, and under which name, depends on the study.
VARYING = ("coverage", "axis1_blockmap")
ENDINGS = (".png", ".svg", ".html")

logger = logging.getLogger(__name__)


def draw_figures(warehouse_path, references, folder, progress=None):
    """Draw every figure of a study as PNG, SVG and self-contained HTML.

    Parameters
    ----------
    warehouse_path : str or Path
        The published `warehouse.duckdb`; opened read-only.
    references : str or Path
        Folder of the reference images, named as in `dim_images`.
    folder : str or Path
        Where the figures go; made if missing. Files of an earlier run that this study no
        longer has (another image mapped, nothing missing any more) are removed.
    progress : callable, optional
        Called as ``progress(done, total, name)`` when a figure is written.

    Returns
    -------
    list of Path
        Three files per figure.

    Raises
    ------
    StudyError
        There is no warehouse, it is of another version, or a reference is not the file
        that was measured.
    """
    folder = Path(folder)
    with Marts(warehouse_path) as marts:
        figures = plan_figures(marts, Path(references))
        paths = []
        for done, (name, draw) in enumerate(figures.items(), start=1):
            paths += write_chart(theme.finish(draw(marts)), folder, name)
            logger.info("drew %s", name)
            if progress is not None:
                progress(done, len(figures), name)
    _remove_stale(folder, paths)
    return paths


def plan_figures(marts, references):
    """Say which figures a study has.

    Parameters
    ----------
    marts : analysis.marts.Marts
    references : Path

    Returns
    -------
    dict
        A function of the marts that draws the figure, by the figure's name.
    """
    figures = dict(FIGURES)
    if not is_complete(marts):
        figures["coverage"] = draw_coverage
    images = choose_images(marts)
    limit = find_limit(marts, images)
    for image_id in images:
        figures[f"axis1_blockmap_{image_id}"] = partial(
            draw_blockmap, references=references, image_id=image_id, limit=limit
        )
    if not images:
        figures["axis1_blockmap"] = _draw_no_map
    return figures


def _draw_no_map(_):
    message = "No block has a score: Axis1 is not identifiable in this study."
    return theme.draw_message(TITLE, [], message)


def _remove_stale(folder, paths):
    for path in folder.iterdir():
        is_figure = path.suffix in ENDINGS and path.stem.startswith(VARYING)
        if is_figure and path not in paths:
            path.unlink()
