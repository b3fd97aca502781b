"""The pixels behind the blocks, shown only where a file is still the one that was measured."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.analysis.marts import quote_text
from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.sizes import bring_to_size, find_size_problem
from upscale_audit.ingest.windows import recall_display

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from upscale_audit.analysis.marts import Marts
    from upscale_audit.ingest.study import Study


@dataclass(frozen=True, eq=False)
class Film:
    """An image as it was measured, or why it is not shown.

    Attributes
    ----------
    grey : (M, N) uint8 array or None
    problem : str
        A sentence; empty where there are pixels.
    """

    grey: npt.NDArray[np.uint8] | None
    problem: str = ""


def read_film(
    marts: Marts,
    study: Study,
    image_id: str,
    model_id: str | None = None,
    inference_path: str | None = None,
) -> Film:
    """Read a reference, or a restored image of it.

    Parameters
    ----------
    marts : analysis.marts.Marts
    study : ingest.study.Study
        Its folders hold the files; the warehouse says which.
    image_id : str
    model_id, inference_path : str, optional
        Of a restored image.

    Returns
    -------
    Film
    """
    source = _find_source(marts, image_id, model_id, inference_path)
    if source is None:
        of = "reference" if model_id is None else f"image of {model_id}, {inference_path},"
        return Film(
            None,
            f"The warehouse has measured no {of} for {image_id}: mart_coverage counts what is"
            " missing, mart_rejects says what was refused and why.",
        )
    folder = _find_folder(study, model_id, inference_path)
    if folder is None:
        return Film(None, f"{study.path.name} names no folder for this image.")
    path = folder / source["file_name"]
    try:
        data = read_bytes(path, limit_bytes(study.ingest_parameters.max_image_px))
    except RejectedFileError as error:
        return Film(None, f"{source['file_name']} cannot be read in {folder}: {error.detail}.")
    if hashlib.sha256(data).hexdigest() != source["file_sha256"]:
        return Film(
            None,
            f"{source['file_name']} is not the file that was measured (its SHA-256 differs): no"
            " pixels are shown. Run upscale-audit ingest and build to measure it.",
        )
    return _decode(marts, study, image_id, path, data, source)


def _find_source(
    marts: Marts, image_id: str, model_id: str | None, inference_path: str | None
) -> dict[str, Any] | None:
    role = "reference" if model_id is None else "restored"
    restored = (
        ""
        if model_id is None or inference_path is None
        else f" and model_id = {quote_text(model_id)}"
        f" and inference_path = {quote_text(inference_path)}"
    )
    rows = marts.rows(
        "select file_name, file_sha256, size_rule, window_rule, window_low, window_high,"
        " rescale_slope, rescale_intercept, is_inverted from dim_source_files"
        f" where image_id = {quote_text(image_id)} and role = '{role}'{restored}"
        " and file_sha256 is not null order by file_name limit 1"
    )
    return rows[0] if rows else None


def _find_folder(study: Study, model_id: str | None, inference_path: str | None) -> Path | None:
    if model_id is None or inference_path is None:
        return study.references
    own = [model for model in study.models if model.model_id == model_id]
    return own[0].folder(inference_path) if own else None


def _decode(
    marts: Marts,
    study: Study,
    image_id: str,
    path: Path,
    data: bytes,
    source: Mapping[str, Any],
) -> Film:
    parameters = study.ingest_parameters
    (size,) = marts.rows(
        f"select height_px, width_px from dim_images where image_id = {quote_text(image_id)}"
    )
    shape = size["height_px"], size["width_px"]
    try:
        image = decode_image(
            data,
            path.suffix.lower(),
            parameters.max_image_px,
            parameters.colour,
            recall_display(source),
        )
    except RejectedFileError as error:
        return Film(None, f"{path.name} cannot be shown: {error.detail}.")
    if find_size_problem(image.grey.shape, shape, source["size_rule"]):
        return Film(None, f"{path.name} has not the size that was measured.")
    grey = bring_to_size(image, shape, source["size_rule"]).grey
    if grey.shape != shape:
        whole = np.zeros(shape, np.uint8)
        whole[: grey.shape[0], : grey.shape[1]] = grey
        grey = whole
    return Film(grey)


def read_boxes(marts: Marts, image_id: str) -> list[dict[str, Any]]:
    """Read the finding boxes of an image that are used.

    Parameters
    ----------
    marts : analysis.marts.Marts
    image_id : str

    Returns
    -------
    list of dict
        name, left_px, top_px, width_px, height_px.
    """
    return marts.rows(
        "select finding as name, left_px, top_px, width_px, height_px from dim_boxes"
        f" where image_id = {quote_text(image_id)} and is_used order by box_number"
    )
