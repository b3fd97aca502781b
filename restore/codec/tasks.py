"""Does a task after decoding survive? Edges, foreground and readings of restored images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from skimage import feature, filters

from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.codec.images import read_images
from upscale_audit.restore.codec.intervals import bound_mean
from upscale_audit.restore.codec.jobs import write_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.study import Study


EDGE_SIGMA_PX = 2.0
EDGE_TOLERANCE_PX = 1
TASKS = ("edge_f", "foreground_dice", "reading_shift")
RUN_COLUMNS = ("model_id", "image_id", "inference_path", *TASKS)
TABLE_COLUMNS = (
    "model_id",
    "inference_path",
    "task",
    "image_count",
    "mean",
    "low",
    "high",
    "worst",
)


def measure_tasks(
    study: Study, folder: Path, progress: Callable[..., None] | None = None
) -> list[dict[str, Any]]:
    """Do each task in reference and restored image, and write what they have in common.

    Parameters
    ----------
    study : ingest.study.Study
        With references of the restored images' size. Readings are taken from its ``readings/``,
        where ``upscale-audit read`` has written them.
    folder : Path
        Receives ``task_runs.csv`` (a row per model, path and image) and ``tasks.csv``.
    progress : callable, optional
        Called as ``progress(done, total, name)`` after a model.

    Returns
    -------
    list of dict
        Rows of ``tasks.csv``, with `TABLE_COLUMNS`.

    Raises
    ------
    StudyError
        The study has no references, no restored image has one, or two sizes differ.
    """
    references = {image.image_id: image.grey for image in read_images(study.reference_folder)}
    found = {name: (find_edges(grey), find_foreground(grey)) for name, grey in references.items()}
    shifts = _read_shifts(study.output / "readings" / "readings.parquet")
    folders = [(model.model_id, "notta", model.notta) for model in study.models]
    folders += [(model.model_id, "tta", model.tta) for model in study.models if model.tta]
    rows = []
    for done, (model_id, path, place) in enumerate(folders, start=1):
        for image in read_images(place):
            if image.image_id not in found:
                continue
            edges, foreground = found[image.image_id]
            if image.grey.shape != edges.shape:
                raise StudyError(
                    f"{model_id}, {image.image_id}: expected {edges.shape[1]}x{edges.shape[0]} px"
                    f" as the reference has, found {image.grey.shape[1]}x{image.grey.shape[0]};"
                    " restore it anew"
                )
            rows.append(
                {
                    "model_id": model_id,
                    "image_id": image.image_id,
                    "inference_path": path,
                    "edge_f": compare_edges(find_edges(image.grey), edges, EDGE_TOLERANCE_PX),
                    "foreground_dice": compare_areas(find_foreground(image.grey), foreground),
                    "reading_shift": shifts.get((model_id, path, image.image_id)),
                }
            )
        if progress is not None:
            progress(done, len(folders), model_id)
    if not rows:
        raise StudyError(f"{study.path}: no restored image has a reference; restore some")
    table = summarise_tasks(rows)
    write_rows(folder / "task_runs.csv", RUN_COLUMNS, rows)
    write_rows(folder / "tasks.csv", TABLE_COLUMNS, table)
    return table


def find_edges(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Canny's edges (scikit-image), sigma `EDGE_SIGMA_PX`, thresholds at its quantiles 0.8 and 0.9.

    Parameters
    ----------
    grey : (M, N) uint8 array

    Returns
    -------
    (M, N) bool array
        None where all pixels are equal.

    Notes
    -----
    Quantiles of the image's own gradients, so that a blur does not lose edges for being weaker
    everywhere: what counts is where they are.

    References
    ----------
    Canny, J. (1986). A computational approach to edge detection. IEEE TPAMI 8(6), 679-698.
    https://doi.org/10.1109/TPAMI.1986.4767851
    """
    if grey.min() == grey.max():  # each gradient of 0 is at its own quantile
        return np.zeros(grey.shape, bool)
    edges: npt.NDArray[np.bool_] = feature.canny(
        grey.astype(np.float64),
        sigma=EDGE_SIGMA_PX,
        low_threshold=0.8,
        high_threshold=0.9,
        use_quantiles=True,
    )
    return edges


def find_foreground(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels above Otsu's threshold (scikit-image); none where all pixels are equal."""
    if grey.min() == grey.max():
        return np.zeros(grey.shape, bool)
    found: npt.NDArray[np.bool_] = grey > filters.threshold_otsu(grey)
    return found


def compare_edges(
    found: npt.NDArray[np.bool_], expected: npt.NDArray[np.bool_], tolerance_px: int
) -> float | None:
    """F-score of edge pixels with a tolerance.

    Parameters
    ----------
    found, expected : (M, N) bool array
    tolerance_px : int
        Rows and columns by which an edge may be off (a square neighbourhood).

    Returns
    -------
    float or None
        0..1, harmonic mean of precision (found ones with an expected one near) and recall
        (expected ones with a found one near); None where neither has any.
    """
    if not found.any() and not expected.any():
        return None
    right = np.count_nonzero(found & _widen(expected, tolerance_px))
    met = np.count_nonzero(expected & _widen(found, tolerance_px))
    if not right or not met:
        return 0.0
    precision, recall = right / np.count_nonzero(found), met / np.count_nonzero(expected)
    return float(2 * precision * recall / (precision + recall))


def compare_areas(found: npt.NDArray[np.bool_], expected: npt.NDArray[np.bool_]) -> float | None:
    """Dice's coefficient of two areas, 0..1; None where both are empty."""
    total = np.count_nonzero(found) + np.count_nonzero(expected)
    return float(2 * np.count_nonzero(found & expected) / total) if total else None


def summarise_tasks(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over images with its 95 % interval, and the worst image, per model, path and task.

    Parameters
    ----------
    rows : list of dict
        With `RUN_COLUMNS`.

    Returns
    -------
    list of dict
        With `TABLE_COLUMNS`. Images count as independent: the interval holds where each is of
        another patient. The worst is the least score, or the largest shift.
    """
    groups: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        for task in TASKS:
            if row[task] is not None:
                key = row["model_id"], row["inference_path"], task
                groups.setdefault(key, []).append(row[task])
    table = []
    for (model_id, path, task), values in groups.items():
        centre, low, high = bound_mean(values)
        facts: dict[str, Any] = {"model_id": model_id, "inference_path": path, "task": task}
        facts |= {"image_count": len(values), "mean": centre, "low": low, "high": high}
        facts["worst"] = max(values) if task == "reading_shift" else min(values)
        table.append(facts)
    return table


def _widen(edges: npt.NDArray[np.bool_], reach_px: int) -> npt.NDArray[np.bool_]:
    rows, cols = edges.shape
    padded = np.pad(edges, reach_px)
    wide = np.zeros_like(edges)
    for row in range(2 * reach_px + 1):
        for col in range(2 * reach_px + 1):
            wide |= padded[row : row + rows, col : col + cols]
    return wide


def _read_shifts(path: Path) -> dict[tuple[str, str, str], float]:
    """Mean size of a reading's shift from the reference's, by model, path and image."""
    if not path.is_file():
        return {}
    readings = pq.read_table(path).to_pylist()
    expected = {
        (row["reader"], row["image_id"], row["finding"]): row["score"]
        for row in readings
        if row["subject"] == "reference"
    }
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in readings:
        place = row["reader"], row["image_id"], row["finding"]
        if row["subject"] == "restored" and place in expected:
            key = row["model_id"], row["inference_path"], row["image_id"]
            found.setdefault(key, []).append(abs(row["score"] - expected[place]))
    return {key: math.fsum(shifts) / len(shifts) for key, shifts in found.items()}
