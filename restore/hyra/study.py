"""HyRA of a study: every network that can be called, on every reference, as Parquet.

The one module here that runs networks; what draws reads the marts.
"""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.files import hash_file, locked, name_within, replacing, to_text
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.manifests import MANIFEST, describe_code, hash_dependencies, seal_folder
from upscale_audit.ingest.pairing import list_references
from upscale_audit.ingest.restorers import (
    Interpolation,
    NcnnWeights,
    RestoreParameters,
    SpandrelWeights,
)
from upscale_audit.ingest.schema import HYRA_TABLES, SCHEMA_VERSION, arrow_schema
from upscale_audit.ingest.sources import name_source
from upscale_audit.ingest.stated_window import name_window
from upscale_audit.ingest.vouchers import Journal
from upscale_audit.ingest.windows import PLAIN, Display
from upscale_audit.ingest.workers import map_units
from upscale_audit.restore.controls import INTERPOLATIONS
from upscale_audit.restore.hyra.impulse import (
    Impulse,
    ImpulseParameters,
    describe_impulse,
    list_offsets,
    measure_impulses,
)
from upscale_audit.restore.hyra.parts import (
    FIT_RADIUS_PX,
    fit_linear_part,
    measure_linear_energy,
    split_parts,
)
from upscale_audit.restore.hyra.spectra import RING_COUNT, compare_bands, measure_rings, transform

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.restorers import Declaration
    from upscale_audit.ingest.study import Study
    from upscale_audit.restore.networks import Network
    from upscale_audit.restore.weights import Weights


MAX_LR_PX = 256
"""The middle of a larger LR image is analysed: work and memory are bounded."""

_CALLABLE = (Interpolation, NcnnWeights, SpandrelWeights)


@dataclass(frozen=True)
class HyraReport:
    """What was analysed; `left_out` says by model why it was not, `skipped` by image."""

    folder: Path
    networks: int
    images: int
    left_out: dict[str, str]
    skipped: dict[str, str]


@dataclass(frozen=True)
class ImageTask:
    """One reference under one network; travels to a worker process."""

    model_id: str
    image_id: str
    reference: Path
    declared: Declaration
    weights: Weights | None
    impulse: Impulse
    lr_rule: str
    max_image_px: int
    display: Display = PLAIN


class Interpolator:
    """Pillow's bicubic or Lanczos as a network: linear, in float32, neither rounded nor clamped.

    Parameters
    ----------
    kind : {"bicubic", "lanczos"}
    scale : int
    """

    def __init__(self, kind: str, scale: int) -> None:
        self.scale = scale
        self._filter = INTERPOLATIONS[kind]

    def forward(self, planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Enlarge each plane; see `restore.networks.Network.forward`."""
        size = (planes.shape[2] * self.scale, planes.shape[1] * self.scale)
        resized = [Image.fromarray(plane).resize(size, self._filter) for plane in planes]
        return np.array(resized, dtype=np.float32)


def analyse_study(
    study: Study,
    networks: Mapping[str, str] | None = None,
    parameters: ImpulseParameters | None = None,
    workers: int | None = None,
    progress: Callable[..., None] | None = None,
) -> HyraReport:
    """Analyse every callable network of a study on every reference, and write ``hyra/``.

    Parameters
    ----------
    study : ingest.study.Study
    networks : dict, optional
        Known weights (`restore.weights.KNOWN_WEIGHTS`) by model_id, for models whose study file
        declares no restorer.
    parameters : ImpulseParameters, optional
    workers : int, optional
        Processes; all cores by default. No value depends on it.
    progress : callable, optional
        Called as ``progress(done, total, name)`` after each image.

    Returns
    -------
    HyraReport

    Raises
    ------
    StudyError
        No model can be called, weights or a package are missing, there is no reference.

    Notes
    -----
    LR images are made of the references by the study's ``[restore] lr_rule`` at the network's own
    scale: one that enlarges four times is asked about a quarter of the reference. ``hyra/`` is
    replaced as a whole, its manifest last.
    """
    networks, parameters = networks or {}, parameters or ImpulseParameters()
    if study.references is None:
        raise StudyError(f"{study.path} has no references; HyRA needs images: name their folder")
    declared, left_out = _declare_networks(study, networks)
    references, _ = list_references(study)
    with locked(study.output, "ingest, build or hyra"):
        found = {model_id: _find_weights(item) for model_id, item in declared.items()}
        scale = study.restore_parameters.scale
        impulses = {
            model_id: measure_impulses(_load_network(item, found[model_id], scale), parameters)
            for model_id, item in declared.items()
        }
        tasks = _plan_tasks(study, references, declared, found, impulses)
        images, spectra = _carry_out(tasks, workers or os.cpu_count() or 1, progress)
        recipe = _describe_recipe(study, networks, parameters, declared, found)
        recipe["inputs"] = {"sources": _list_sources(images, references, study.references)}
        tables = _describe_networks(declared, found, impulses)
        _write_tables(study, tables | {"hyra_images": images, "hyra_spectra": spectra}, recipe)
    skipped = {
        f"{row['image_id']} by {row['model_id']}": row["reason"] for row in images if row["reason"]
    }
    return HyraReport(study.hyra, len(declared), len(tasks) - len(skipped), left_out, skipped)


def _plan_tasks(
    study: Study,
    references: Mapping[str, Path],
    declared: Mapping[str, Declaration],
    found: Mapping[str, Weights | None],
    impulses: Mapping[str, tuple[Impulse, ...]],
) -> list[ImageTask]:
    return [
        ImageTask(
            model_id=model_id,
            image_id=image_id,
            reference=path,
            declared=item,
            weights=found[model_id],
            impulse=impulses[model_id][0],
            lr_rule=study.restore_parameters.lr_rule,
            max_image_px=study.ingest_parameters.max_image_px,
            display=Display(study.ingest_parameters.window),
        )
        for model_id, item in declared.items()
        for image_id, path in references.items()
    ]


def _carry_out(
    tasks: Sequence[ImageTask], workers: int, progress: Callable[..., None] | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Collect the rows of images and spectra in the order in which images are done."""
    images, spectra = [], []
    for image, rings in map_units(analyse_image, tasks, workers, _name_task):
        images.append(image)
        spectra += rings
        if progress is not None:
            progress(len(images), len(tasks), f"{image['image_id']} by {image['model_id']}")
    return images, spectra


def analyse_image(task: ImageTask) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Analyse one reference under one network; runs in a worker process.

    Parameters
    ----------
    task : ImageTask

    Returns
    -------
    image : dict
        A row of `hyra_images`; its measures are None where `reason` says why.
    spectra : list of dict
        Rows of `hyra_spectra`; none without measures.
    """
    row = dict.fromkeys(column.name for column in HYRA_TABLES["hyra_images"])
    scale = task.impulse.scale
    row |= {"model_id": task.model_id, "image_id": to_text(task.image_id)}
    row |= {"scale": scale, "step_dn": _to_grey_levels(task.impulse.step)}
    try:
        data = read_bytes(task.reference, limit_bytes(task.max_image_px))
        row["reference_sha256"] = hashlib.sha256(data).hexdigest()
        suffix = task.reference.suffix.lower()
        grey = decode_image(data, suffix, task.max_image_px, "reduce", task.display).grey
        reference = crop_middle(grey, scale)
        measures, spectra = measure_image(task, reference)
    except (RejectedFileError, StudyError) as error:
        return row | {"reason": str(error)}, []
    return row | measures, [
        {"model_id": task.model_id, "image_id": row["image_id"]} | ring for ring in spectra
    ]


def crop_middle(grey: npt.NDArray[np.uint8], scale: int) -> npt.NDArray[np.uint8]:
    """Crop the middle of an image to whole LR pixels, at most MAX_LR_PX of them a side."""
    sides = [min(length // scale, MAX_LR_PX) * scale for length in grey.shape]
    starts = [(length - side) // 2 for length, side in zip(grey.shape, sides, strict=True)]
    (top, left), (height, width) = starts, sides
    return grey[top : top + height, left : left + width]


def measure_image(
    task: ImageTask, reference: npt.NDArray[np.uint8]
) -> tuple[dict[str, float | None], list[dict[str, float]]]:
    """Measure one image.

    Parameters
    ----------
    task : ImageTask
    reference : (M, N) uint8 array
        Sides are multiples of the network's scale.

    Returns
    -------
    measures : dict
        Columns of `hyra_images`.
    spectra : list of dict
        One per ring of frequency.

    Raises
    ------
    StudyError
        The image is too small for the impulse response.
    """
    from upscale_audit.ingest.lr_rules import make_lr

    scale = task.impulse.scale
    lr = make_lr(np.ascontiguousarray(reference), scale, task.lr_rule) / 255
    network = _load_network(task.declared, task.weights, scale)
    parts = split_parts(network, task.impulse, lr)
    best = parts.restored - fit_linear_part(parts, lr, scale)
    margin = parts.margin_px
    truth = reference[margin:-margin, margin:-margin] / 255
    images = (truth, parts.restored, parts.linear, parts.nonlinear, best)
    spectra = [transform(image) for image in images]
    bands, best_bands = (
        compare_bands(spectra[0], spectra[1], spectra[2], nonlinear, scale)
        for nonlinear in (spectra[3], spectra[4])
    )
    contrast = parts.restored.var()
    measures = {
        "lr_height_px": lr.shape[0],
        "lr_width_px": lr.shape[1],
        "margin_px": margin,
        **measure_linear_energy(parts),
        **bands,
        "best_linear_contrast": 1 - float(best.var() / contrast) if contrast else None,
        "best_nonlin_rms_dn": float(255 * np.sqrt((best**2).mean())),
        "best_nonlin_hf": best_bands["hyra_nonlin_hf"],
        "best_nonlin_hf_gain": best_bands["nonlin_hf_gain"],
    }
    return measures, _list_rings(spectra)


def _list_rings(spectra: Sequence[npt.NDArray[np.complex128]]) -> list[dict[str, float]]:
    names = ("reference", "restored", "linear", "nonlin", "best_nonlin")
    powers = {
        f"{name}_power": measure_rings(spectrum)
        for name, spectrum in zip(names, spectra, strict=True)
    }
    return [
        {"ring_number": ring, "frequency": (ring + 0.5) / (2 * RING_COUNT)}
        | {name: float(power[ring]) for name, power in powers.items()}
        for ring in range(RING_COUNT)
        if np.isfinite(powers["reference_power"][ring])
    ]


def _declare_networks(
    study: Study, networks: Mapping[str, str]
) -> tuple[dict[str, Declaration], dict[str, str]]:
    """Say which models can be called, and why the others cannot."""
    known = {model.model_id for model in study.models}
    unknown = sorted(set(networks) - known)
    if unknown:
        raise StudyError(
            f"--network names {', '.join(map(repr, unknown))}; expected models of {study.path}:"
            f" {', '.join(sorted(known))}"
        )
    declared: dict[str, Declaration] = {}
    left_out: dict[str, str] = {}
    for model in study.models:
        if model.model_id in networks:
            declared[model.model_id] = NcnnWeights("ncnn", weights=networks[model.model_id])
        elif isinstance(model.restorer, _CALLABLE):
            declared[model.model_id] = model.restorer
        elif model.restorer is None:
            left_out[model.model_id] = "declares no restorer"
        else:
            left_out[model.model_id] = f"{model.restorer.kind} restores nothing from an LR image"
    if not declared:
        raise StudyError(
            f"{study.path}: no model has a network that can be called; declare its restorer as"
            " study.example.toml shows, or give --network MODEL_ID=WEIGHTS"
        )
    return declared, left_out


def _find_weights(declared: Declaration) -> Weights | None:
    from upscale_audit.restore.weights import find_weights

    if isinstance(declared, NcnnWeights | SpandrelWeights):
        return find_weights(declared)
    return None


def _load_network(declared: Declaration, weights: Weights | None, scale: int) -> Network:
    from upscale_audit.restore.restorers import load_network

    if isinstance(declared, Interpolation):
        return Interpolator(declared.kind, scale)
    if weights is None:
        raise TypeError(f"{declared!r} is no network")
    return load_network(declared, weights)


def _name_task(task: ImageTask) -> str:
    return f"{to_text(task.image_id)} by {task.model_id}"


def _describe_networks(
    declared: Mapping[str, Declaration],
    found: Mapping[str, Weights | None],
    impulses: Mapping[str, tuple[Impulse, ...]],
) -> dict[str, list[dict[str, Any]]]:
    """Make the rows of networks and of their responses."""
    networks = [
        {
            "model_id": model_id,
            "kind": item.kind,
            "weights_sha256": None if (weights := found[model_id]) is None else weights.sha256[-1],
            "step_dn": _to_grey_levels(impulse.step),
            "base_dn": _to_grey_levels(impulse.base),
            "is_linear_part": impulse is impulses[model_id][0],
            **describe_impulse(impulse),
        }
        for model_id, item in declared.items()
        for impulse in impulses[model_id]
    ]
    responses = [
        row
        for model_id, measured in impulses.items()
        for impulse in measured
        for row in _list_impulse(model_id, impulse)
    ]
    return {"hyra_networks": networks, "hyra_impulses": responses}


def _to_grey_levels(value: float) -> float:
    return round(255 * value, 9)  # 64 / 255 of 255 levels is 64


def _list_impulse(model_id: str, impulse: Impulse) -> list[dict[str, Any]]:
    step = _to_grey_levels(impulse.step)
    offsets = list_offsets(impulse).tolist()
    return [
        {
            "model_id": model_id,
            "step_dn": step,
            "row_offset_px": row,
            "col_offset_px": col,
            "response": value,
        }
        for row, values in zip(offsets, impulse.response.tolist(), strict=True)
        for col, value in zip(offsets, values, strict=True)
    ]


def _list_sources(
    images: Sequence[dict[str, Any]], references: Mapping[str, Path], folder: Path
) -> dict[str, str]:
    """SHA-256 of each reference that was read, by its name within the study."""
    files = {to_text(name): name_within(path, folder) for name, path in references.items()}
    names = {
        image_id: name_source({"role": "reference", "file_name": name})
        for image_id, name in files.items()
    }
    read = {row["image_id"]: row["reference_sha256"] for row in images if row["reference_sha256"]}
    return {names[image_id]: read[image_id] for image_id in sorted(read)}


def _describe_recipe(
    study: Study,
    networks: Mapping[str, str],
    parameters: ImpulseParameters,
    declared: Mapping[str, Declaration],
    found: Mapping[str, Weights | None],
) -> dict[str, Any]:
    """Name what decides the tables beside the references."""
    from upscale_audit.restore.restorers import Restorer

    restore_parameters = RestoreParameters(
        lr_rule=study.restore_parameters.lr_rule, scale=study.restore_parameters.scale
    )
    return {
        "command": "hyra",
        "arguments": [
            word for key in sorted(networks) for word in ("--network", f"{key}={networks[key]}")
        ],
        "parameters": asdict(parameters)
        | {
            "lr_rule": study.restore_parameters.lr_rule,
            "max_lr_px": MAX_LR_PX,
            "ring_count": RING_COUNT,
            "fit_radius_px": FIT_RADIUS_PX,
        }
        | name_window(study.ingest_parameters.window),
        "networks": {
            model_id: Restorer(item, restore_parameters, found[model_id]).describe("notta")
            for model_id, item in declared.items()
        },
        "schema_version": SCHEMA_VERSION,
        "code": describe_code("restore", "*", "hyra/*"),
        "dependencies_sha256": hash_dependencies(),
    }


def _write_tables(
    study: Study, rows: Mapping[str, list[dict[str, Any]]], recipe: dict[str, Any]
) -> None:
    folder = study.hyra
    (folder / MANIFEST).unlink(missing_ok=True)
    names = []
    for table, columns in HYRA_TABLES.items():
        keys = [column.name for column in columns if not column.nullable]
        ordered = sorted(rows[table], key=operator.itemgetter(*keys))
        content = pa.Table.from_pylist(
            ordered, schema=arrow_schema(table, {"schema_version": str(SCHEMA_VERSION)})
        )
        names.append(f"{table}.parquet")
        with replacing(folder / names[-1]) as temporary:
            pq.write_table(content, temporary, compression="zstd")
    seal_folder(folder, "hyra", study.name, names, recipe, {})
    Journal(study.output, "hyra").write({MANIFEST: {hash_file(folder / MANIFEST)}})
