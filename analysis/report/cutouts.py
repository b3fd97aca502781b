"""The worst block of each model as pictures: reference, restored, and what is between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.blockmap import find_display
from upscale_audit.analysis.figures.consistency import read_measured
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.marts import Marts


MODELS_SHOWN = 8
SIDE_PX = 64
DIFFERENCE_DN = 64
"""Full colour of a difference, dn."""
_BLOCK_PX = 8


@dataclass(frozen=True)
class Cutout:
    """A model's worst block.

    Attributes
    ----------
    label, image_id : str
        The model's name for people, and the image's.
    row_px, col_px : int
        Its upper left pixel.
    mse_dn2 : float
    contradicted_px, judged_px : int or None
        LR pixels of the block; None where its LR image is not known.
    pictures : tuple of (M, N) or (M, N, 3) uint8 arrays
        Reference, restored, difference; empty where a file is not the one that was measured.
    frame : tuple
        Row and column of the block within the pictures.
    """

    label: str
    image_id: str
    row_px: int
    col_px: int
    mse_dn2: float
    contradicted_px: int | None
    judged_px: int | None
    pictures: tuple[npt.NDArray[np.uint8], ...]
    frame: tuple[int, int]


def cut_worst_blocks(
    marts: Marts, references: Path | None, folders: Mapping[str, Path]
) -> tuple[list[Cutout], dict[str, str]]:
    """Cut the block with the largest squared error of each model, without augmentation.

    Parameters
    ----------
    marts : analysis.marts.Marts
    references : Path
        Folder of the references.
    folders : dict
        Of each model's notta images, by its name.

    Returns
    -------
    cutouts : list of Cutout
        Of the first `MODELS_SHOWN` models that have a measured block; of equal blocks the
        first by image, row and column.
    sources : dict
        SHA-256 of each file that was read, by its place.
    """
    cutouts, sources = [], {}
    for model_id in marts.models[:MODELS_SHOWN]:
        found = _find_worst(marts, model_id)
        if found is None:
            continue
        files = {row["role"]: row for row in _find_files(marts, model_id, found["image_id"])}
        places = {"reference": references, "restored": folders.get(model_id)}
        pixels = {}
        for role, folder in places.items():
            own = files[role]
            display = find_display(
                marts, found["image_id"], role, model_id if role == "restored" else None
            )
            pixels[role] = read_measured(folder, own["file_name"], own["file_sha256"], display)
            if pixels[role] is not None:
                sources[f"{role}:{model_id}/{own['file_name']}"] = own["file_sha256"]
        corner = found["block_row"] * _BLOCK_PX, found["block_col"] * _BLOCK_PX
        pictures, frame = _cut(pixels["reference"], pixels["restored"], corner)
        cutouts.append(
            Cutout(
                label=marts.labels[model_id],
                image_id=found["image_id"],
                row_px=corner[0],
                col_px=corner[1],
                mse_dn2=found["mse"],
                contradicted_px=found["contradicted"],
                judged_px=found["judged"],
                pictures=pictures,
                frame=frame,
            )
        )
    return cutouts, sources


def _find_worst(marts: Marts, model_id: str) -> dict[str, Any] | None:
    of_model = f"from fct_blocks where model_id = {quote_text(model_id)}"
    rows = marts.rows(
        "select image_id, block_row, block_col, cast(mse_dn2_notta as double) as mse,"
        " lr_contradicted_px_notta as contradicted, lr_judged_px_notta as judged"
        f" {of_model} and mse_dn2_notta = (select max(mse_dn2_notta) {of_model})"
        " order by image_id, block_row, block_col limit 1"
    )
    return rows[0] if rows else None


def _find_files(marts: Marts, model_id: str, image_id: str) -> list[dict[str, str]]:
    return marts.rows(
        "select role, file_name, file_sha256 from dim_source_files"
        f" where image_id = {quote_text(image_id)} and (role = 'reference'"
        f" or (model_id = {quote_text(model_id)} and inference_path = 'notta'))"
    )


def _cut(
    reference: npt.NDArray[np.uint8] | None,
    restored: npt.NDArray[np.uint8] | None,
    corner: tuple[int, int],
) -> tuple[tuple[npt.NDArray[np.uint8], ...], tuple[int, int]]:
    """Cut both images around a block, and paint their difference."""
    if reference is None or restored is None or reference.shape != restored.shape:
        return (), (0, 0)
    starts = [
        int(np.clip(place + _BLOCK_PX // 2 - SIDE_PX // 2, 0, max(0, length - SIDE_PX)))
        for place, length in zip(corner, reference.shape, strict=True)
    ]
    window = tuple(slice(start, start + SIDE_PX) for start in starts)
    before, after = reference[window], restored[window]
    difference = after.astype(float) - before.astype(float)
    painted = theme.diverging_colours(np.clip(difference / DIFFERENCE_DN, -1, 1))
    frame = corner[0] - starts[0], corner[1] - starts[1]
    return (before, after, painted), frame
