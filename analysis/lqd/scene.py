"""Finding and decoding the images of a map, and what the warehouse knows of them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.analysis.marts import Marts, quote_text
from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.files import name_within
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.pairing import pair_study
from upscale_audit.ingest.sizes import bring_to_size, check_size
from upscale_audit.ingest.sources import name_source
from upscale_audit.ingest.study import INFERENCE_PATHS
from upscale_audit.ingest.windows import Display

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.images import DecodedImage
    from upscale_audit.ingest.pairing import Pair, Pairing
    from upscale_audit.ingest.study import Study


@dataclass(frozen=True, eq=False)
class View:
    """One restored image of a scene.

    Attributes
    ----------
    model_id, inference_path : str
    label : str
        The model's name for people.
    restored : (M, N) uint8 array
    directions : (K, M / 8, N / 8) float64 array or None
        The scene's direction components of each 8 px block, rounded up to whole blocks at
        the frame; NaN where NULL. None where the warehouse does not hold this image.
    """

    model_id: str
    inference_path: str
    label: str
    restored: npt.NDArray[np.uint8]
    directions: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """A reference and restored images of it.

    Attributes
    ----------
    image_id : str
    reference : (M, N) uint8 array
    views : tuple of View
        The first is the one that was asked for.
    components : tuple of dict
        Rows of `dim_components`; empty before the first build.
    sources : dict
        SHA-256 of each file that was decoded, by its name within the study.
    """

    image_id: str
    reference: npt.NDArray[np.uint8]
    views: tuple[View, ...]
    components: tuple[dict[str, str], ...] = ()
    sources: dict[str, str] = field(default_factory=dict)


def load_scene(
    study: Study,
    image_id: str,
    model_id: str,
    inference_path: str,
    also: Sequence[str] = (),
    *,
    with_directions: bool = True,
    pairing: Pairing | None = None,
) -> Scene:
    """Decode a reference and its restored images.

    Parameters
    ----------
    study : ingest.study.Study
    image_id, model_id, inference_path : str
        The image that is asked for; it must be there.
    also : sequence of str
        More models. Of every model, each inference path that has a file is loaded.
    with_directions : bool
        Whether the direction components are read; where not, they are None.
    pairing : ingest.pairing.Pairing, optional
        Of the study, for whoever loads more than one scene; see `pair_images`.

    Returns
    -------
    Scene

    Raises
    ------
    StudyError
        Unknown image, model or inference path (the nearest names are given), no file, a
        file that cannot be measured, another size than the reference, or a file that is
        not the one the warehouse measured.
    """
    for name in (model_id, *also):
        check_name("model", name, [model.model_id for model in study.models], study)
    if inference_path not in INFERENCE_PATHS:
        paths = " or ".join(INFERENCE_PATHS)
        raise StudyError(f"inference path {inference_path!r}; expected {paths}")
    pairing = pairing or pair_images(study)
    check_name("image", image_id, sorted(pairing.references), study)
    pairs = {(p.model_id, p.inference_path): p for p in pairing.pairs if p.image_id == image_id}
    asked = model_id, inference_path
    _check_status(pairs[asked], study)
    wanted = [asked] + [
        (name, path) for name in dict.fromkeys((model_id, *also)) for path in INFERENCE_PATHS
    ]
    files = {key: file for key in dict.fromkeys(wanted) if (file := pairs[key].file)}
    known = _read_warehouse(study, image_id, tuple(files) if with_directions else ())
    folders = {(m.model_id, path): m.folder(path) for m in study.models for path in INFERENCE_PATHS}
    labels = {model.model_id: model.label for model in study.models}
    sources, views = {}, []

    def decode(
        file: Path, display: Display, role: str, name: str | None, path: str | None
    ) -> DecodedImage:
        data = _read(file, study, known.hashes.get((role, name, path)))
        row = {"role": role, "model_id": name, "inference_path": path}
        own = None if name is None or path is None else folders.get((name, path))
        folder = own or study.reference_folder
        source = name_source(row | {"file_name": name_within(file, folder)})
        sources[source] = hashlib.sha256(data).hexdigest()
        return _decode(file, data, study, display)

    display = Display(study.ingest_parameters.window)
    image = decode(pairing.references[image_id], display, "reference", None, None)
    reference = image.grey
    for (name, path), file in files.items():
        decoded = decode(file, image.display, "restored", name, path)
        restored = _fit(reference.shape, decoded, file, study.size_rule)
        directions = known.directions.get((name, path))
        views.append(View(name, path, labels[name], restored, directions))
    return Scene(image_id, reference, tuple(views), known.components, sources)


def check_name(kind: str, name: str, valid: Sequence[str], study: Study) -> None:
    """Refuse a name that the study does not have, giving the nearest that it has."""
    if name in valid:
        return
    near = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    near = near or [other for other in valid if name and name in other][:3] or list(valid[:3])
    more = "" if len(valid) == len(near) else f" ({len(valid)} in all)"
    listed = ", ".join(near) or "none"
    raise StudyError(f"no {kind} {name!r} in {study.path}; the nearest: {listed}{more}")


@dataclass(frozen=True)
class _Known:
    """What the warehouse holds of an image: hashes by file, directions by view."""

    hashes: dict[tuple[str, str | None, str | None], str]
    directions: dict[tuple[str, str], npt.NDArray[np.float64] | None]
    components: tuple[dict[str, str], ...]


def pair_images(study: Study) -> Pairing:
    """Pair the study's images; one that has none is an error."""
    if study.references is None:
        raise StudyError(
            f"{study.path} names no images; a map needs [study] references and [[models]]"
        )
    return pair_study(study)


def _check_status(pair: Pair, study: Study) -> None:
    name = f"{pair.model_id} {pair.inference_path}"
    if pair.status == "not_declared":
        raise StudyError(
            f"{pair.model_id} has no {pair.inference_path} folder in {study.path}; add"
            f" {pair.inference_path} = ... to its [[models]] table, or ask for the other path"
        )
    if pair.status == "ambiguous":
        raise StudyError(
            f"several files of {name} could be {pair.image_id!r}; keep one"
            " (mart_rejects lists them)"
        )
    if pair.status == "missing":
        model = next(model for model in study.models if model.model_id == pair.model_id)
        raise StudyError(
            f"{name} has no restored image of {pair.image_id!r}; put it into"
            f" {model.folder(pair.inference_path)}"
        )


def _read(path: Path, study: Study, expected: str | None) -> bytes:
    """Read an image file; `expected` is the SHA-256 of the one that was measured, or None."""
    try:
        data = read_bytes(path, limit_bytes(study.ingest_parameters.max_image_px))
    except RejectedFileError as error:
        raise StudyError(f"cannot measure {path}: {error}; replace the file") from None
    if expected is not None and hashlib.sha256(data).hexdigest() != expected:
        raise StudyError(
            f"{path} is not the file that was measured (its SHA-256 differs);"
            " run upscale-audit ingest and build"
        )
    return data


def _fit(
    shape: tuple[int, int], restored: DecodedImage, file: Path, rule: str | None
) -> npt.NDArray[np.uint8]:
    """Bring a restored image to its reference's size by the study's rule, as ingest does."""
    try:
        check_size(restored, shape, rule)
    except RejectedFileError as error:
        raise StudyError(f"{file} is {error.detail}; restore it to the reference's size") from None
    # Without a rule, what passed the check has the reference's size.
    fitted = restored.grey if rule is None else bring_to_size(restored, shape, rule).grey
    if fitted.shape != shape:
        raise StudyError(
            f"{file} lacks a row or a column of its reference: a map needs all of them; state"
            " another [size] rule than 'crop'"
        )
    return fitted


def _decode(path: Path, data: bytes, study: Study, display: Display) -> DecodedImage:
    parameters = study.ingest_parameters
    try:
        return decode_image(
            data, path.suffix.lower(), parameters.max_image_px, parameters.colour, display
        )
    except RejectedFileError as error:
        raise StudyError(f"cannot measure {path}: {error}; replace the file") from None


def _read_warehouse(study: Study, image_id: str, views: tuple[tuple[str, str], ...]) -> _Known:
    """Hashes and direction components; both empty before the first build."""
    if not study.warehouse.is_file():
        return _Known({}, {}, ())
    with Marts(study.warehouse) as marts:
        rows = marts.rows(
            "select role, model_id, inference_path, file_sha256 from dim_source_files"
            f" where image_id = {quote_text(image_id)} and file_sha256 is not null"
            " order by role, model_id, inference_path"
        )
        hashes = {
            (row["role"], row["model_id"], row["inference_path"]): row["file_sha256"]
            for row in rows
        }
        components = tuple(marts.read_components())
        directions = {
            view: _read_directions(marts, components, image_id, *view)
            for view in views
            if ("restored", *view) in hashes
        }
    return _Known(hashes, directions, components)


def _read_directions(
    marts: Marts,
    components: tuple[dict[str, str], ...],
    image_id: str,
    model_id: str,
    inference_path: str,
) -> npt.NDArray[np.float64] | None:
    columns = [f"{item['column_stem']}_{inference_path}" for item in components]
    values = ", ".join(f"cast({name} as double) as {name}" for name in columns)
    blocks = marts.frame(
        f"select block_row, block_col, {values} from fct_blocks"
        f" where image_id = {quote_text(image_id)} and model_id = {quote_text(model_id)}"
        " order by block_row, block_col"
    )
    if blocks.is_empty():
        return None
    row, col = blocks["block_row"].to_numpy(), blocks["block_col"].to_numpy()
    directions = np.full((len(columns), row.max() + 1, col.max() + 1), np.nan)
    for plane, name in zip(directions, columns, strict=True):
        plane[row, col] = blocks[name].to_numpy()
    return directions
