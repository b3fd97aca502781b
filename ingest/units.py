"""The unit of work: some images under some models, measured into one shard per model.

A unit is complete when its manifest stands in ``raw/units/``: the manifest is written
last, after its shards were renamed into place. Files without one are debris.
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from upscale_audit.ingest.blocks import Measured, build_batch, measure_pair
from upscale_audit.ingest.documents import MAX_DOCUMENT_BYTES, parse_document, read_bounded
from upscale_audit.ingest.edges import find_thresholds, mark_ringing_pixels
from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.files import canonical_json, hash_file, hash_json, replacing, write_text
from upscale_audit.ingest.images import decode_image, hash_pixels, limit_bytes, read_bytes
from upscale_audit.ingest.labels import name_patient
from upscale_audit.ingest.lr import NO_FACTS, find_lr, find_size_problem
from upscale_audit.ingest.manifests import Code, describe_code
from upscale_audit.ingest.metrics.declared import round_published
from upscale_audit.ingest.metrics.image import profile_image
from upscale_audit.ingest.metrics.pair import compare_images
from upscale_audit.ingest.patches import PatchShard, name_patch_shard
from upscale_audit.ingest.perceptual import Weights, load_network
from upscale_audit.ingest.rings import Scan, ScannedReference
from upscale_audit.ingest.schema import BLOCKS, ROUNDED_NAMES, SCHEMA_VERSION, TABLES, arrow_schema
from upscale_audit.ingest.sizes import bring_to_size, check_size
from upscale_audit.ingest.study import IngestParameters, LrParameters
from upscale_audit.ingest.windows import Display, follow

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt

    from upscale_audit.ingest.images import DecodedImage


ROWS_PER_GROUP = 131_072
"""A row group closes after the image that reaches this many rows; no image is split."""


@dataclass(frozen=True)
class Input:
    """One file that enters a unit. `path` is None where the pair has no file.

    `name` is its place in its folder, as text.
    """

    role: str
    model_id: str | None
    inference_path: str | None
    image_id: str
    path: Path | None
    name: str | None = None


@dataclass(frozen=True)
class Unit:
    """Images (in order) under models (in order), with every file they need.

    `inputs` maps image_id to its reference followed by its LR file, if any, and restored files.
    `vouched` holds the SHA-256s that the manifest of a unit to be kept may have,
    `ingest.vouchers`; None asks nothing.
    """

    raw: Path
    images: tuple[str, ...]
    models: tuple[str, ...]
    inputs: dict[str, tuple[Input, ...]]
    parameters: IngestParameters
    weights: Weights | None = None
    vouched: frozenset[str] | None = None
    lr: LrParameters | None = None
    scan: Scan | None = None
    size_rule: str | None = None

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides the unit's numbers beside its pixels."""
        return recipe(self.parameters, self.weights, self.lr, self.scan, self.size_rule)

    @property
    def unit_id(self) -> str:
        """Names the shards: a hash of what the unit is, not of what its files hold."""
        identity = {
            "images": self.images,
            "models": self.models,
            "recipe": self.recipe,
        }
        return hash_json(identity)[:16]

    @property
    def manifest_path(self) -> Path:
        """Where the manifest stands once the unit is complete."""
        return self.raw / "units" / f"{self.unit_id}.json"

    def shard_name(self, model_id: str) -> str:
        """Path of a model's shard, relative to the raw folder."""
        return _name_shard(model_id, self.unit_id)


def recipe(
    parameters: IngestParameters,
    weights: Weights | None = None,
    lr: LrParameters | None = None,
    scan: Scan | None = None,
    size_rule: str | None = None,
) -> dict[str, Any]:
    """Name what decides the numbers of a study or a unit beside its pixels."""
    named = {"schema_version": SCHEMA_VERSION, "parameters": asdict(parameters)}
    if lr is not None:
        named["lr"] = {"rule": lr.rule, "scale": lr.scale, "has_files": lr.folder is not None}
    named |= {} if scan is None else {"sfrc": scan.recipe}
    named |= {} if size_rule is None else {"size_rule": size_rule}
    return named if weights is None else named | {"perceptual": weights.recipe}


def ensure_unit(unit: Unit) -> tuple[UnitManifest, bool]:
    """Measure a unit, unless it is complete and nothing under it has changed.

    Parameters
    ----------
    unit : Unit

    Returns
    -------
    manifest : dict
    was_kept : bool
        True where every input and shard was re-hashed and found as recorded.
    """
    manifest = read_manifest(unit.manifest_path, unit.vouched)
    if manifest is not None and _is_current(unit, manifest):
        return manifest, True
    (unit.raw / "manifest.json").unlink(missing_ok=True)
    unit.manifest_path.unlink(missing_ok=True)
    parts = _measure_unit(unit)
    manifest = UnitManifest(**parts, content_sha256=hash_json(parts))
    write_text(unit.manifest_path, _spell(manifest))
    return manifest, False


def _spell(manifest: UnitManifest) -> str:
    return canonical_json(manifest) + "\n"


def hash_unit(manifest: UnitManifest) -> str:
    """SHA-256 of the file that a unit's manifest is written to."""
    return hashlib.sha256(_spell(manifest).encode("utf-8")).hexdigest()


INPUT_KEY = ("role", "model_id", "inference_path", "image_id", "file_name")


class UnitInput(TypedDict):
    """A file that a unit read: values of `INPUT_KEY`, and its SHA-256."""

    key: list[str | None]
    file_sha256: str | None


class Shard(TypedDict):
    """A model's block rows."""

    model_id: str
    file: str
    rows: int
    bytes: int
    sha256: str


class PatchFile(TypedDict):
    """Patch rows of all models of a unit."""

    file: str
    rows: int
    bytes: int
    sha256: str


_Rows = list[dict[str, str | int | float | bool | None]]


class UnitParts(TypedDict):
    """What a unit read, measured and refused."""

    unit_id: str
    recipe: dict[str, Any]
    code: Code
    images: list[str]
    models: list[str]
    shards: list[Shard]
    patch_shards: list[PatchFile]
    inputs: list[UnitInput]
    image_facts: _Rows
    source_files: _Rows
    image_metrics: _Rows
    rejects: _Rows


class UnitManifest(UnitParts):
    """A unit's file: what it read, measured and refused, and the hash of that."""

    content_sha256: str


_ROWS = {
    "image_facts": "images",
    "source_files": "source_files",
    "image_metrics": "image_metrics",
    "rejects": "rejects",
}
"""Raw table by the field of a unit's manifest that holds rows of it."""


def read_manifest(path: Path, vouched: Collection[str] | None = None) -> UnitManifest | None:
    """Read a unit's manifest.

    Parameters
    ----------
    path : Path
    vouched : collection of str, optional
        The SHA-256s that the file may have; by default any.

    Returns
    -------
    dict or None
        A `UnitManifest`; None where there is none, it is damaged, of another shape or not vouched
        for.
    """
    try:
        data = read_bounded(path, MAX_DOCUMENT_BYTES)
        if vouched is not None and hashlib.sha256(data).hexdigest() not in vouched:
            return None
        manifest = parse_document(data, UnitManifest)
        content = {key: value for key, value in manifest.items() if key != "content_sha256"}
        if manifest["content_sha256"] != hash_json(content) or manifest["unit_id"] != path.stem:
            return None
        _check_parts(manifest)
    except (OSError, ValueError):
        return None
    return manifest


def _check_parts(manifest: UnitManifest) -> None:
    """Raise ValueError unless names stay in the raw folder and rows are those of their tables."""
    unit_id = manifest["unit_id"]
    expected = [_name_shard(shard["model_id"], unit_id) for shard in manifest["shards"]]
    models = {shard["model_id"] for shard in manifest["shards"]}
    if [shard["file"] for shard in manifest["shards"]] != expected:
        raise ValueError("a shard of another name")
    patches = [shard["file"] for shard in manifest["patch_shards"]]
    if patches not in ([], [name_patch_shard(unit_id)]):
        raise ValueError("a patch shard of another name")
    if not manifest["images"] or not models <= set(manifest["models"]):
        raise ValueError("images or models of another unit")
    if any(len(entry["key"]) != len(INPUT_KEY) for entry in manifest["inputs"]):
        raise ValueError("an input without its names")
    parts: Mapping[str, Any] = manifest
    for field, table in _ROWS.items():
        check_rows(table, parts[field])


def check_rows(table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Check rows against the columns of a raw table; ValueError where they are not of it."""
    columns = {column.name: column.nullable for column in TABLES[table]}
    for row in rows:
        if row.keys() != columns.keys():
            raise ValueError(f"rows of {table} with other columns")
        if any(value is None and not columns[name] for name, value in row.items()):
            raise ValueError(f"a row of {table} without its key")
    try:
        pa.Table.from_pylist(rows, schema=arrow_schema(table))
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise ValueError(f"rows of {table}: {error}") from None


def _name_shard(model_id: str, unit_id: str) -> str:
    return f"blocks/model_id={model_id}/{unit_id}.parquet"


def find_unshared(unit: Unit, manifest: UnitManifest) -> Path | None:
    """Name a file that this machine reads, and the worker that measured the unit did not."""
    unread = [entry["key"] for entry in manifest["inputs"] if entry["file_sha256"] is None]
    for path, item in _list_files(unit):
        if _input_key(item) in unread and identify(path)["file_sha256"] is not None:
            return path
    return None


def _list_files(unit: Unit) -> list[tuple[Path, Input]]:
    return [(item.path, item) for items in unit.inputs.values() for item in items if item.path]


def _is_current(unit: Unit, manifest: UnitManifest) -> bool:
    files = _list_files(unit)
    recorded = manifest["inputs"]
    if len(files) != len(recorded):
        return False
    for (path, item), entry in zip(files, recorded, strict=True):
        if entry["file_sha256"] is None or entry["key"] != _input_key(item):
            return False
        if identify(path)["file_sha256"] != entry["file_sha256"]:
            return False
    written = [*manifest["shards"], *manifest["patch_shards"]]
    shards = [(unit.raw / shard["file"], shard["sha256"]) for shard in written]
    return all(path.is_file() and hash_file(path) == sha256 for path, sha256 in shards)


def _input_key(item: Input) -> list[str | None]:
    return [item.role, item.model_id, item.inference_path, item.image_id, item.name]


class _Ledger:
    """What a unit read, measured and refused; becomes its manifest."""

    def __init__(self, parameters: IngestParameters) -> None:
        self.parameters = parameters
        self.inputs: list[UnitInput] = []
        self.source_files: _Rows = []
        self.rejects: _Rows = []
        self.images: _Rows = []
        self.image_metrics: _Rows = []

    def decode(
        self,
        item: Input,
        display: Display,
        fit: Callable[[DecodedImage], DecodedImage] | None = None,
    ) -> DecodedImage | None:
        """Decode one input, recording it; None where it was refused.

        `fit` takes the image and gives one of the right size, or raises RejectedFileError.
        """
        owner = {
            "role": item.role,
            "model_id": item.model_id,
            "inference_path": item.inference_path,
            "file_name": item.name,
        }
        if item.path is None:
            return None
        data, sha256 = None, None
        try:
            parameters = self.parameters
            data = read_bytes(item.path, limit_bytes(parameters.max_image_px))
            image = decode_image(
                data, item.path.suffix.lower(), parameters.max_image_px, parameters.colour, display
            )
            sha256 = image.facts.file_sha256
            image = image if fit is None else fit(image)
        except RejectedFileError as reject:
            found = identify(item.path) if data is None else identify_bytes(data)
            self.rejects.append(owner | {"reason": reject.code, "detail": reject.detail} | found)
            sha256 = found["file_sha256"]
            return None
        finally:
            self.inputs.append({"key": _input_key(item), "file_sha256": sha256})
        self.source_files.append(
            owner | {"image_id": item.image_id} | asdict(image.facts) | _describe_grey(image)
        )
        return image

    def add_metrics(self, item: Input, values: dict[str, float | None] | None) -> None:
        """Record the metrics of a restored image, unrounded and as published."""
        if values is None:
            return
        rounded = round_published(values)
        self.image_metrics.append(
            {
                "model_id": item.model_id,
                "inference_path": item.inference_path,
                "image_id": item.image_id,
            }
            | values
            | {f"{name}_rounded": rounded[name] for name in ROUNDED_NAMES}
        )


def identify(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file of any size, as `rejects` has them: NULL where unreadable."""
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            return {"bytes": found.st_size, "file_sha256": hash_file(path)}
    except OSError:
        pass
    return {"bytes": None, "file_sha256": None}


def identify_bytes(data: bytes) -> dict[str, Any]:
    """Size and SHA-256 of bytes that were read, as `identify` gives them."""
    return {"bytes": len(data), "file_sha256": hashlib.sha256(data).hexdigest()}


def _measure_unit(unit: Unit) -> UnitParts:
    ledger = _Ledger(unit.parameters)
    patches = PatchShard(unit)
    with contextlib.ExitStack() as held:
        writers = {
            model_id: held.enter_context(_ShardWriter(unit, model_id)) for model_id in unit.models
        }
        for image_id in unit.images:
            _measure_image(unit, image_id, ledger, writers, patches)
        shards = [shard for writer in writers.values() if (shard := writer.finish())]
    return {
        "unit_id": unit.unit_id,
        "recipe": unit.recipe,
        "code": describe_code("ingest"),
        "images": list(unit.images),
        "models": list(unit.models),
        "shards": shards,
        "patch_shards": patches.finish(),
        "inputs": ledger.inputs,
        "image_facts": ledger.images,
        "source_files": ledger.source_files,
        "image_metrics": ledger.image_metrics,
        "rejects": ledger.rejects,
    }


def _describe_grey(image: DecodedImage) -> dict[str, Any]:
    """Say of the grey values measured what is of the values, not of the file that held them."""
    is_file = image.rgb is None and image.facts.size_rule is None
    return {
        "grey_sha256": image.facts.pixel_sha256 if is_file else hash_pixels(image.grey),
        "lowest_dn": int(image.grey.min()),
        "highest_dn": int(image.grey.max()),
    }


def _measure_image(
    unit: Unit,
    image_id: str,
    ledger: _Ledger,
    writers: Mapping[str, _ShardWriter],
    patches: PatchShard,
) -> None:
    reference_input, *other_inputs = unit.inputs[image_id]
    display = Display(unit.parameters.window)
    image = ledger.decode(reference_input, display)
    display = follow(display) if image is None else image.display
    reference = None if image is None else _Reference(image_id, image, unit)
    columns: dict[Any, dict[Any, dict[str, npt.NDArray[Any]]]] = {
        model_id: {} for model_id in unit.models
    }
    for item in other_inputs:
        if item.path is None:
            continue
        if item.role == "lr":
            fit = None
            if image is not None and unit.lr is not None:
                fit = partial(_fit_lr, unit.lr, image.grey.shape)
            decoded = ledger.decode(item, display, fit)
            if reference is not None:
                reference.set_lr(decoded)
            continue
        fit = None if image is None else partial(_fit, image.grey.shape, unit.size_rule)
        restored = ledger.decode(item, display, fit)
        if reference is not None and restored is not None:
            held = reference.cut(restored.grey.shape)
            pair, ring_energy = held.measure(restored)
            columns.setdefault(item.model_id, {})[item.inference_path] = pair
            ledger.add_metrics(item, held.compare(restored, pair["local_ssim"], ring_energy))
            patches.add(item, held.scanned, restored.grey)
    if reference is None:
        return
    ledger.images.append(reference.facts)
    for model_id, writer in writers.items():
        writer.add(
            build_batch(
                image_id,
                reference.blocks,
                reference.mask,
                columns[model_id],
                writer.schema,
                {} if reference.lr is None else reference.lr.columns,
            )
        )


def _fit_lr(
    parameters: LrParameters, shape: tuple[int, int], lr_image: DecodedImage
) -> DecodedImage:
    problem = find_size_problem(parameters, shape, lr_image.grey.shape)
    if problem is not None:
        raise RejectedFileError("size_mismatch", problem)
    return lr_image


def _fit(shape: tuple[int, int], rule: str | None, restored: DecodedImage) -> DecodedImage:
    check_size(restored, shape, rule)
    return restored if rule is None else bring_to_size(restored, shape, rule)


class _Reference:
    """A decoded reference, filtered once for all of its restored images."""

    def __init__(self, image_id: str, image: DecodedImage, unit: Unit) -> None:
        self.image, self.lr_parameters, self.unit = image, unit.lr, unit
        self.parts: dict[tuple[int, ...], _Reference] = {}
        low, high = find_thresholds(image.grey, unit.parameters)
        self.mask = mark_ringing_pixels(image.grey, low, high)
        self.blocks = Measured(image.grey)
        self.scanned = None if unit.scan is None else ScannedReference(image.grey, unit.scan)
        self.profile = self.network = None
        if unit.parameters.image_metrics:
            self.profile = profile_image(image.grey, image.rgb)
            if unit.weights is not None:
                self.network = load_network(unit.weights)
                self.features = self.network.extract(image.grey, image.rgb)
        self.lr, facts = None, NO_FACTS
        if unit.lr is not None:
            self.lr, facts = find_lr(unit.lr, image)
        self.image_id = image_id
        self.facts = facts | {
            "image_id": image_id,
            "width_px": image.grey.shape[1],
            "height_px": image.grey.shape[0],
            "edge_low_dn": low,
            "edge_high_dn": high,
            "patient_id": None if image.patient_id is None else name_patient(image.patient_id),
        }

    def set_lr(self, lr_image: DecodedImage | None) -> None:
        """Hold images against an LR file; None stands for one that was refused."""
        if self.lr_parameters is None:
            return
        self.lr, facts = find_lr(self.lr_parameters, self.image, lr_image, lr_image is None)
        self.facts |= facts

    def cut(self, shape: tuple[int, ...]) -> _Reference:
        """Give the upper left part of so many rows and columns; all of it is this reference."""
        if shape == self.image.grey.shape:
            return self
        if shape not in self.parts:
            rows, cols = shape
            rgb = None if self.image.rgb is None else self.image.rgb[:rows, :cols]
            part = replace(self.image, grey=self.image.grey[:rows, :cols], rgb=rgb)
            self.parts[shape] = _Reference(self.image_id, part, self.unit)
            self.parts[shape].mask = self.mask[:rows, :cols]  # whose pixels the blocks count
        return self.parts[shape]

    def measure(self, restored: DecodedImage) -> tuple[dict[str, npt.NDArray[Any]], int]:
        """Block columns of a restored image, and the energy of its ringing."""
        columns, ring_energy = measure_pair(self.blocks, Measured(restored.grey), self.mask)
        if self.lr is None or restored.facts.transparent_px or restored.facts.size_rule:
            # What was put on white or resampled is no restorer's grey value.
            return columns, ring_energy
        step = self.lr.lr.step
        if bool(restored.step) != bool(step) or restored.step > step:
            # A window came after a rounding that the bound does not allow for.
            return columns, ring_energy
        return columns | self.lr.measure(restored.grey, restored.rgb), ring_energy

    def compare(
        self, restored: DecodedImage, local_ssim: npt.NDArray[np.float32], ring_energy: int
    ) -> dict[str, float | None] | None:
        """Per-image metrics of a restored image; None where the study leaves them out."""
        if self.profile is None:
            return None
        profile = profile_image(restored.grey, restored.rgb)
        lpips = None
        if self.network is not None:
            features = self.network.extract(restored.grey, restored.rgb)
            lpips = self.network.compare(self.features, features)
        return compare_images(
            self.profile,
            profile,
            local_ssim,
            ring_mask=self.mask,
            ring_energy=ring_energy,
            lpips=lpips,
        )


class _ShardWriter:
    """One model's shard of a unit: written beside its place, renamed when whole.

    As a context it removes what an error left half written.
    """

    def __init__(self, unit: Unit, model_id: str) -> None:
        self.name = unit.shard_name(model_id)
        self.model_id = model_id
        self.path = unit.raw / self.name
        metadata = {
            "model_id": model_id,
            "unit_id": unit.unit_id,
            "schema_version": str(SCHEMA_VERSION),
            "recipe_sha256": hash_json(unit.recipe),
        }
        self.schema = arrow_schema("blocks", metadata)
        self.pending: list[pa.RecordBatch] = []
        self.rows = 0
        self._place = contextlib.ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        self._place.__exit__(kind, error, trace)

    def add(self, batch: pa.RecordBatch) -> None:
        self.pending.append(batch)
        if sum(item.num_rows for item in self.pending) >= ROWS_PER_GROUP:
            self._flush()

    def finish(self) -> Shard | None:
        """Close and publish the shard; its manifest entry, or None where it has no row."""
        self._flush()
        if self._writer is None:
            return None
        self._writer.close()
        self._writer = None
        self._place.close()
        return {
            "model_id": self.model_id,
            "file": self.name,
            "rows": self.rows,
            "bytes": self.path.stat().st_size,
            "sha256": hash_file(self.path),
        }

    def _flush(self) -> None:
        if not self.pending:
            return
        if self._writer is None:
            temporary = self._place.enter_context(replacing(self.path))
            self._writer = open_parquet(temporary, self.schema)
        table = pa.Table.from_batches(self.pending)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self.rows += table.num_rows
        self.pending = []


_KEYS = ("image_id", "block_row", "block_col", "is_partial", "side_count", "side16_count")


def open_parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open the block table's Parquet writer.

    Notes
    -----
    Measured on real radiographs: keys as dictionaries, floats split by bytes, and integers packed
    to the bits that their differences need, which zstd then makes no smaller (plain zstd takes a
    tenth more room and thrice the time). Level 3 of zstd takes 5 to 10 % longer in all, for 0.1 to
    0.5 bytes a row less.
    """
    floats = [column.name for column in BLOCKS if pa.types.is_floating(column.type)]
    packed = [column.name for column in BLOCKS if column.name not in (*_KEYS, *floats)]
    compressed = dict.fromkeys((*_KEYS, *floats), "zstd")
    return pq.ParquetWriter(
        path,
        schema,
        compression=dict.fromkeys(packed, "none") | compressed,
        compression_level=dict.fromkeys(compressed, 1),
        use_dictionary=list(_KEYS),
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT")
        | dict.fromkeys(packed, "DELTA_BINARY_PACKED"),
        write_statistics=list(_KEYS),
    )
