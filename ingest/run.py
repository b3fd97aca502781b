"""Ingest a study: plan the units, measure what is missing or changed, write the small tables."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from upscale_audit.ingest.boxes import place_boxes, read_boxes
from upscale_audit.ingest.documents import check_shape, read_document
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import (
    hash_file,
    locked,
    name_within,
    open_regular,
    replacing,
    to_text,
    write_text,
)
from upscale_audit.ingest.labels import read_entries
from upscale_audit.ingest.manifests import (
    MANIFEST,
    SOURCES,
    SUMS,
    RawManifest,
    describe_code,
    find_files_root,
    format_sums,
    hash_dependencies,
    hash_manifest,
    make_manifest,
    write_manifest,
)
from upscale_audit.ingest.memory import count_workers, estimate_need
from upscale_audit.ingest.metrics.declared import METRICS
from upscale_audit.ingest.pairing import Pairing, pair_study
from upscale_audit.ingest.patients import read_patients
from upscale_audit.ingest.perceptual import describe_weights
from upscale_audit.ingest.published import (
    detect_kind,
    read_comparison,
    read_locations,
    read_results,
)
from upscale_audit.ingest.published_blocks import import_blocks
from upscale_audit.ingest.regions import find_regions
from upscale_audit.ingest.rings import plan_scan
from upscale_audit.ingest.schema import SCHEMA_VERSION, arrow_schema
from upscale_audit.ingest.sources import (
    MASK,
    list_table_sources,
    merge_unit_sources,
    name_source,
)
from upscale_audit.ingest.study_warnings import find_warnings
from upscale_audit.ingest.units import (
    Input,
    Unit,
    ensure_unit,
    find_unshared,
    hash_unit,
    identify,
    read_manifest,
    recipe,
)
from upscale_audit.ingest.vouchers import Journal, find_unit_vouchers
from upscale_audit.ingest.workers import map_units

if TYPE_CHECKING:
    from distributed.cfexecutor import ClientExecutor

    from upscale_audit.ingest.pairing import Pair
    from upscale_audit.ingest.perceptual import Weights
    from upscale_audit.ingest.published_blocks import ReadHashes
    from upscale_audit.ingest.study import Study
    from upscale_audit.ingest.units import UnitManifest


IMAGES_PER_UNIT = 32
_FILE_KEY = ("role", "model_id", "inference_path", "file_name")
"""What tells an image file of a study from the others, and orders tables of them."""

R = TypeVar("R")
_Tables = dict[str, list[dict[str, Any]]]
"""Rows by raw table."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did; `units_kept` were complete and unchanged."""

    images: int
    blocks: int
    units_measured: int
    units_kept: int
    rejects: tuple[dict[str, Any], ...]
    missing: int
    colour_reduced: int
    warnings: tuple[dict[str, Any], ...] = ()


def ingest_study(
    study: Study,
    workers: int | None = None,
    progress: Callable[..., None] | None = None,
    executor: ClientExecutor | None = None,
    memory_bytes: int | None = None,
    read_hashes: ReadHashes | None = None,
) -> IngestReport:
    """Bring a study's raw tables up to date with its files.

    Parameters
    ----------
    study : ingest.study.Study
    workers : int, optional
        Processes. By default one a core, but no more than the memory holds beside each other
        at the largest image. No result depends on it.
    progress : callable, optional
        Called as ``progress(done, total)`` with image counts after each unit.
    executor : concurrent.futures.Executor, optional
        Measures instead of processes of this machine, `workers` units at once.
    memory_bytes : int, optional
        What the default number of workers may take together; by default nine tenths of what
        is free.
    read_hashes : callable, optional
        Reads the hash lists that [[published_blocks]] name, as
        `ingest.published_blocks.import_blocks` takes it.

    Returns
    -------
    IngestReport

    Raises
    ------
    StudyError
        An unreadable folder, no reference, a malformed label file, another ingest at work.

    Notes
    -----
    After a kill at any moment, the next run ends with the same bytes: a unit without its
    manifest is measured again, and ``raw/manifest.json``, without which no build starts,
    is written last.
    """
    with locked(study.output, "ingest or build"):
        if study.raw.exists() and not study.raw.is_dir():
            raise StudyError(
                f"{study.raw} is a file; move it away, or name another folder as [study] output"
            )
        pairing = pair_study(study) if study.references else Pairing({}, (), ())
        masks = _name_masks(study, pairing)
        sources = _list_beside(study, masks)
        tables_sha256 = {kind: _hash_tables(study, files) for kind, files in sources.items()}
        labels = _read_labels(study, pairing.references) | _read_published(study)
        shards, rows = import_blocks(study, tables_sha256["tables"], read_hashes)
        labels["published_block_files"] = rows
        _check_unchanged(study, sources["tables"], tables_sha256["tables"])
        weights = describe_weights(study.perceptual)
        workers = workers or _count_workers(study, pairing, weights, memory_bytes)
        units, journal = _plan_vouched(study, pairing, weights)
        by_id = {unit.unit_id: unit for unit in units}
        total = sum(len(unit.images) for unit in units)
        manifests, kept = [], 0
        for manifest, was_kept in _say_full_memory(
            map_units(ensure_unit, units, workers, _name_images, executor)
        ):
            if executor is not None:
                _check_shared(study, by_id[manifest["unit_id"]], manifest)
            manifests.append(manifest)
            kept += was_kept
            if not was_kept:
                journal.add(name_unit(manifest["unit_id"]), hash_unit(manifest))
            if progress is not None:
                progress(sum(len(item["images"]) for item in manifests), total)
        manifests.sort(key=lambda manifest: manifest["unit_id"])
        merge_unit_sources(manifests)  # before anything is signed
        _say_unlike_depths(manifests)
        tables = _small_tables(pairing, manifests, weights) | labels
        tables = finish_tables(study, tables, manifests, masks)
        _check_unchanged(study, sources["masks"], tables_sha256["masks"])
        beside = tables_sha256["tables"] | tables_sha256["masks"]
        _write_tables(study, manifests, tables, weights, beside, journal, shards)
    return _report(manifests, tables, kept)


def _check_shared(study: Study, unit: Unit, manifest: UnitManifest) -> None:
    """Hold what a cluster's worker says it read and wrote of a unit against what is here.

    A build hashes every byte; this only says at once that a folder is not shared. Files are opened
    for their size: a network's mount may answer by name from what it remembers.
    """
    if (unread := find_unshared(unit, manifest)) is not None:
        raise StudyError(
            f"a worker could not read {to_text(unread)}, and this machine can: every worker must"
            " see the images under the same path, as a shared folder; then run this again"
        )
    files = [*manifest["shards"], *manifest["patch_shards"]]
    own = name_unit(manifest["unit_id"])
    for name, size in [*((one["file"], one["bytes"]) for one in files), (own, None)]:
        with contextlib.suppress(OSError), open_regular(study.raw / name) as file:
            if size is None or os.fstat(file.fileno()).st_size == size:
                continue
        raise StudyError(
            f"a worker wrote {name}, and it is not in {study.raw}: every worker must see"
            f" {study.output} under the same path, as a shared folder that shows a finished file at"
            " once"
        )


def _count_workers(
    study: Study, pairing: Pairing, weights: Weights | None, memory_bytes: int | None
) -> int:
    """As many workers as cores, or as the memory holds; said where that is fewer."""
    files = [pair.file for pair in pairing.pairs if pair.file is not None]
    paths = [*pairing.references.values(), *files]
    need = estimate_need(
        paths,
        study.ingest_parameters,
        weights is not None,
        has_lr=study.lr is not None,
        patch_sizes=len(study.sfrc),
    )
    cores = os.cpu_count() or 1
    workers = count_workers(cores, need, memory_bytes)
    if workers < cores:
        logger.warning(
            "%d of %d cores are used: the largest image takes %.1f GB a worker",
            workers, cores, need / 1e9,
        )  # fmt: skip
    return workers


def _plan_vouched(
    study: Study, pairing: Pairing, weights: Weights | None
) -> tuple[list[Unit], Journal]:
    """Plan the units; the journal then names every one that something vouches for.

    What a killed ingest measured is on the disk and in no manifest: its lines keep it.
    """
    vouchers, journal = find_unit_vouchers(study.output), Journal(study.output, "raw")
    units = plan_units(study, pairing, weights, vouchers)
    names = {name_unit(unit.unit_id) for unit in units}
    stage = {MANIFEST: (journal.read() or {}).get(MANIFEST, set())}
    journal.write({name: hashes for name, hashes in vouchers.items() if name in names} | stage)
    return units, journal


def name_unit(unit_id: str) -> str:
    """Name a unit's manifest within the raw folder."""
    return f"units/{unit_id}.json"


def plan_units(
    study: Study,
    pairing: Pairing,
    weights: Weights | None = None,
    vouchers: Mapping[str, Collection[str]] | None = None,
) -> list[Unit]:
    """Divide a study into units, keeping the units that stand.

    Parameters
    ----------
    study : ingest.study.Study
    pairing : ingest.pairing.Pairing
    weights : ingest.perceptual.Weights, optional
    vouchers : dict, optional
        As `ingest.vouchers.find_unit_vouchers` gives it; a recorded unit of other bytes is none.

    Returns
    -------
    list of Unit
        Every image under every model exactly once. A recorded unit is kept when its recipe
        and all its images and models are still wanted; what no unit covers is divided anew,
        in name order.
    """
    inputs = _inputs_by_image(study, pairing)
    uncovered = {image_id: {model.model_id for model in study.models} for image_id in inputs}
    units = []
    for path in sorted((study.raw / "units").glob("*.json")):
        vouched = None if vouchers is None else vouchers.get(name_unit(path.stem), ())
        manifest = read_manifest(path, vouched)
        if manifest is None or manifest.get("recipe") != name_recipe(study, weights):
            continue
        images, models = tuple(manifest["images"]), tuple(manifest["models"])
        if all(set(models) <= uncovered.get(image_id, set()) for image_id in images):
            units.append(_make_unit(study, weights, inputs, images, models))
            for image_id in images:
                uncovered[image_id] -= set(models)
    by_models = defaultdict(list)
    for image_id in sorted(uncovered):
        if uncovered[image_id]:
            by_models[tuple(sorted(uncovered[image_id]))].append(image_id)
    for names, left in sorted(by_models.items()):
        for begin in range(0, len(left), IMAGES_PER_UNIT):
            chunk = tuple(left[begin : begin + IMAGES_PER_UNIT])
            units.append(_make_unit(study, weights, inputs, chunk, names))
    if vouchers is None:
        return units
    return [
        replace(unit, vouched=frozenset(vouchers.get(name_unit(unit.unit_id), ())))
        for unit in units
    ]


def _inputs_by_image(study: Study, pairing: Pairing) -> dict[str, tuple[Input, ...]]:
    inputs: dict[str, list[Input]] = {}
    for image_id, path in pairing.references.items():
        name = name_within(path, study.reference_folder)
        inputs[image_id] = [Input("reference", None, None, to_text(image_id), path, name)]
    lr_folder = None if study.lr is None else study.lr.folder
    for image_id, path in pairing.lr_files.items():
        name = path.name if lr_folder is None else name_within(path, lr_folder)
        inputs[image_id].append(Input("lr", None, None, to_text(image_id), path, name))
    for pair in pairing.pairs:
        owner = "restored", pair.model_id, pair.inference_path
        item = Input(*owner, to_text(pair.image_id), pair.file, pair.name)
        inputs[pair.image_id].append(item)
    return {to_text(image_id): tuple(items) for image_id, items in inputs.items()}


def name_recipe(study: Study, weights: Weights | None = None) -> dict[str, Any]:
    """Name what decides the numbers of a study beside its pixels."""
    return recipe(study.ingest_parameters, weights, study.lr, plan_scan(study), study.size_rule)


def _make_unit(
    study: Study,
    weights: Weights | None,
    inputs: Mapping[str, tuple[Input, ...]],
    images: tuple[str, ...],
    models: tuple[str, ...],
) -> Unit:
    chosen = {
        image_id: tuple(
            item for item in inputs[image_id] if item.model_id is None or item.model_id in models
        )
        for image_id in images
    }
    parameters, scan = study.ingest_parameters, plan_scan(study)
    return Unit(
        study.raw,
        images,
        models,
        chosen,
        parameters,
        weights,
        lr=study.lr,
        scan=scan,
        size_rule=study.size_rule,
    )


def _name_images(unit: Unit) -> str:
    return f"the images {', '.join(unit.images[:3])}, ..."


def _say_full_memory(results: Iterable[R]) -> Iterator[R]:
    try:
        yield from results
    except MemoryError as error:
        raise StudyError(
            f"memory ran out while images were measured{f' ({error})' if str(error) else ''}: run"
            " with --workers 1, or give it more; finished units are kept"
        ) from None


def _read_labels(study: Study, image_ids: Mapping[str, Path]) -> _Tables:
    entries = read_entries(study.label_entries) if study.label_entries else []
    if study.patients is not None:
        entries = read_patients(study.patients, [to_text(image_id) for image_id in image_ids])
    boxes = read_boxes(study.label_boxes) if study.label_boxes else []
    return {"labels": entries, "boxes": boxes}


def _read_published(study: Study) -> _Tables:
    """Read the published generator's files; a label may name one file of each kind."""
    tables: _Tables = {
        "published_results": [],
        "published_locations": [],
        "published_comparisons": [],
    }
    seen = set()
    for item in study.published:
        kind = detect_kind(item.file)
        if (kind, item.label) in seen:
            raise StudyError(
                f"{study.path}: two published {kind} files are labelled {item.label!r};"
                " give each its own label"
            )
        seen.add((kind, item.label))
        if kind == "results":
            tables["published_results"] += read_results(item.file, item.label)
        elif kind == "locations":
            tables["published_locations"] += read_locations(item.file, item.label)
        else:
            rows = read_comparison(item.file)
            tables["published_comparisons"] += [{"label": item.label} | row for row in rows]
    return tables


def _small_tables(
    pairing: Pairing, manifests: Sequence[UnitManifest], weights: Weights | None
) -> _Tables:
    """Rows of the image, file, pair and reject tables, in a stated order."""
    source_files = _collect(manifests, "source_files")
    rejects = _collect(manifests, "rejects")
    for name in pairing.refused:
        owner = {
            "role": name.role,
            "model_id": name.model_id,
            "inference_path": name.inference_path,
            "file_name": name.name,
        }
        reason = {"reason": name.code, "detail": to_text(name.detail)}
        rejects.append(owner | reason | identify(name.file))
    rejects = _unique_sorted(rejects, _FILE_KEY)
    source_files = _unique_sorted(source_files, _FILE_KEY)
    measured = {(row["image_id"], row["model_id"], row["inference_path"]) for row in source_files}
    pairs = [_describe_pair(pair, measured) for pair in pairing.pairs]
    images = _unique_sorted(_collect(manifests, "image_facts"), ("image_id",))
    keys = ("model_id", "inference_path", "image_id")
    return {
        "images": images,
        "source_files": source_files,
        "image_metrics": _unique_sorted(_collect(manifests, "image_metrics"), keys),
        "metrics": describe_metrics(weights),
        "pairs": pairs,
        "rejects": rejects,
    }


def finish_tables(
    study: Study,
    tables: _Tables,
    manifests: Sequence[UnitManifest],
    masks: Mapping[str, tuple[Path, str]] | None = None,
) -> dict[str, list[dict[str, Any]] | pa.Table]:
    """Put boxes and masks into their references' pixels, and say what a reader should know.

    Parameters
    ----------
    study : ingest.study.Study
    tables : dict
        Rows of the raw tables that units and label files give.
    manifests : list of dict
        The units'.
    masks : dict, optional
        Path and name of the label image by image_id.

    Returns
    -------
    dict
        Rows of every raw table but the shards; of `region_rows` an Arrow table.
    """
    found, rejects, unknown = find_regions(study, tables["images"], manifests, masks or {})
    finished = tables | found
    if unknown:
        logger.info("%d rows of masks are of no image of the study: left out", len(unknown))
    if rejects:
        finished["rejects"] = _unique_sorted([*tables["rejects"], *rejects], _FILE_KEY)
    sizes = {row["image_id"]: (row["width_px"], row["height_px"]) for row in tables["images"]}
    finished["boxes"] = place_boxes(study.label_boxes, tables["boxes"], sizes, study.box_frame)
    finished["warnings"] = find_warnings(finished, unknown, _read_sources(study))
    return finished


def _read_sources(study: Study) -> dict[str, str]:
    """Say what each copy of a phantom study is a copy of; empty of any other study."""
    path = study.phantoms / "injections.parquet"
    if not path.is_file():
        return {}
    table = pq.read_table(path, columns=["image_id", "source_image_id"])
    return dict(zip(*(column.to_pylist() for column in table.itercolumns()), strict=True))


def _name_masks(study: Study, pairing: Pairing) -> dict[str, tuple[Path, str]]:
    """Give path and name of the label image of each reference that has one."""
    folder = None if study.regions is None else study.regions.folder
    if folder is None:
        return {}
    return {
        to_text(image_id): (path, name_within(path, folder))
        for image_id, path in pairing.mask_files.items()
    }


def describe_metrics(weights: Weights | None) -> list[dict[str, Any]]:
    """Give the rows of raw table `metrics`: what each is, and why it was not measured if so."""
    missing = {} if weights else {"lpips": "no weights: name alexnet and lpips in [perceptual]"}
    return [
        {"metric": metric.name, "metric_number": number}
        | asdict(metric)
        | {"not_measured": missing.get(metric.name)}
        for number, metric in enumerate(METRICS, start=1)
    ]


def _say_unlike_depths(manifests: Sequence[UnitManifest]) -> None:
    """Say of how many files no window was applied, though one was to their reference."""
    files = _collect(manifests, "source_files")
    shown = {row["image_id"] for row in files if row["role"] == "reference" and row["window_rule"]}
    plain = [row for row in files if row["image_id"] in shown and not row["window_rule"]]
    if plain:
        logger.warning(
            "%d files of 8 bits (the first: %s) belong to references that a window was applied to:"
            " they are compared as they are, so the same window must have made them",
            len(plain), plain[0]["file_name"],
        )  # fmt: skip


def _describe_pair(
    pair: Pair, measured: set[tuple[str, str | None, str | None]]
) -> dict[str, str | None]:
    image_id = to_text(pair.image_id)
    status = pair.status
    if status == "matched":
        if (image_id, None, None) not in measured:
            status = "reference_rejected"
        elif (image_id, pair.model_id, pair.inference_path) in measured:
            status = "measured"
        else:
            status = "rejected"
    return {
        "image_id": image_id,
        "model_id": pair.model_id,
        "inference_path": pair.inference_path,
        "status": status,
        "match_rule": pair.match_rule,
        "file_name": pair.name,
    }


def _collect(manifests: Sequence[UnitManifest], key: str) -> list[dict[str, Any]]:
    parts: Iterable[Mapping[str, Any]] = manifests
    return [row for part in parts for row in part[key]]


def _unique_sorted(rows: Sequence[dict[str, Any]], order: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows sorted by key; a reference read by several units appears once."""
    unique = {tuple(row[name] or "" for name in order): row for row in rows}
    return [unique[key] for key in sorted(unique)]


def _write_tables(
    study: Study,
    manifests: Sequence[UnitManifest],
    tables: Mapping[str, list[dict[str, Any]] | pa.Table],
    weights: Weights | None,
    tables_sha256: dict[str, str],
    journal: Journal,
    block_shards: Mapping[str, str] | None = None,
) -> None:
    """Write the small tables, clear debris, and sign the whole raw folder off."""
    (study.raw / MANIFEST).unlink(missing_ok=True)
    files = dict(block_shards or {})
    for name, rows in tables.items():
        path = study.raw / name / f"{name}.parquet"
        metadata = {"schema_version": str(SCHEMA_VERSION)}
        schema = arrow_schema(name, metadata)
        if isinstance(rows, pa.Table):
            table = rows.replace_schema_metadata(schema.metadata)
        else:
            table = pa.Table.from_pylist(rows, schema=schema)
        with replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        files[f"{name}/{name}.parquet"] = hash_file(path)
    for manifest in manifests:
        written = [*manifest["shards"], *manifest["patch_shards"]]
        files |= {shard["file"]: shard["sha256"] for shard in written}
        name = name_unit(manifest["unit_id"])
        files[name] = hash_file(study.raw / name)
    _clear_debris(study.raw, {study.raw / name for name in files})
    sources = _hash_sources(tables_sha256, manifests, tables["rejects"])
    write_text(study.raw / SOURCES, format_sums(sources))
    files[SOURCES] = hash_file(study.raw / SOURCES)
    write_text(study.raw / SUMS, format_sums(files))
    files[SUMS] = hash_file(study.raw / SUMS)
    whole = _sign_off(study, manifests, sources, files, weights)
    units = {name: {sha256} for name, sha256 in files.items() if name.startswith("units/")}
    journal.write(units | {MANIFEST: {hash_manifest(whole)}})
    write_manifest(study.raw / MANIFEST, whole)


def _sign_off(
    study: Study,
    manifests: Sequence[UnitManifest],
    sources: Mapping[str, str],
    files: Mapping[str, str],
    weights: Weights | None,
) -> dict[str, object]:
    """Describe the raw folder; units kept from older code are said to be of that code."""
    measured_by = {item["unit_id"]: item["code"]["sha256"] for item in manifests}
    whole = name_recipe(study, weights) | {
        "code": describe_code("ingest"),
        "units_code_sha256": sorted(set(measured_by.values())),
        "dependencies_sha256": hash_dependencies(),
        "pairing": study.pairing,
        "sources_root": find_files_root(sources),
    }
    if study.patients is not None:
        whole["patients"] = {"layout": study.patients.layout, "columns": study.patients.columns}
    if study.regions is not None:
        whole["regions"] = study.regions.recipe
    if study.published_blocks:
        whole["published_blocks"] = [entry.recipe for entry in study.published_blocks]
    sizes = {name: (study.raw / name).stat().st_size for name in files}
    manifest = make_manifest("raw", study.name, files, sizes, whole, {})
    return manifest | {
        "schema_version": SCHEMA_VERSION,
        "models": [model.model_id for model in study.models],
        "has_published": bool(study.published or study.published_blocks),
        "source_count": len(sources),
        "sources_root": whole["sources_root"],
        "block_shards": _order_shards(manifests),
    }


def _list_beside(study: Study, masks: Mapping[str, tuple[Path, str]]) -> dict[str, dict[str, Path]]:
    """List the files beside the images by their name: those read first, and those read last."""
    listed = list_table_sources(study).items()
    csv = {name: path for name, (path, table) in listed if table == MASK}
    return {
        "tables": {name: path for name, (path, table) in listed if table != MASK},
        "masks": csv | {f"{MASK}/{name}": path for path, name in masks.values()},
    }


def _hash_tables(study: Study, files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of files beside the images, by name."""
    try:
        return {name: hash_file(path) for name, path in files.items()}
    except OSError as error:
        raise StudyError(
            f"cannot read {error.filename}: {error.strerror}; put the file back, or take it out of"
            f" {study.path}"
        ) from None


def _check_unchanged(
    study: Study, files: Mapping[str, Path], tables_sha256: dict[str, str]
) -> None:
    """Refuse label, mask and result files that changed while they were read."""
    if _hash_tables(study, files) != tables_sha256:
        raise StudyError(
            f"a file that {study.path} names changed while it was read; run upscale-audit ingest"
            " again when it is complete"
        )


def _hash_sources(
    tables_sha256: dict[str, str],
    manifests: Sequence[UnitManifest],
    rejects: Sequence[dict[str, Any]],
) -> dict[str, str]:
    """SHA-256 of every readable source file, by its name within the study."""
    sources = tables_sha256 | merge_unit_sources(manifests)
    return sources | {name_source(row): row["file_sha256"] for row in rejects if row["file_sha256"]}


def _clear_debris(raw: Path, wanted: set[Path]) -> None:
    """Remove shards and unit manifests that no longer count; touch nothing else."""
    own_name = re.compile(r"\.?[0-9a-f]{16}\.(parquet|json)(\.tmp)?")
    own = (raw / "units", raw / "patches", raw / "published_blocks")
    for folder in (*own, *(raw / "blocks").glob("model_id=*")):
        for path in folder.glob("*"):
            if own_name.fullmatch(path.name) and path not in wanted:
                path.unlink()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _order_shards(manifests: Sequence[UnitManifest]) -> list[str]:
    """Block shards by model, then first image: the order in which the warehouse stores them."""
    shards = [
        (shard["model_id"], manifest["images"][0], shard["file"])
        for manifest in manifests
        for shard in manifest["shards"]
    ]
    return [file for _, _, file in sorted(shards)]


def _report(
    manifests: Sequence[UnitManifest],
    tables: Mapping[str, list[dict[str, Any]] | pa.Table],
    kept: int,
) -> IngestReport:
    return IngestReport(
        images=len(tables["images"]),
        blocks=sum(shard["rows"] for item in manifests for shard in item["shards"]),
        units_measured=len(manifests) - kept,
        units_kept=kept,
        rejects=tuple(tables["rejects"]),
        missing=sum(pair["status"] == "missing" for pair in tables["pairs"]),
        colour_reduced=sum(row["grey_rule"].startswith("rec601") for row in tables["source_files"]),
        warnings=tuple(tables["warnings"]),
    )


def read_raw_manifest(raw: Path) -> RawManifest:
    """Read ``raw/manifest.json``.

    Raises
    ------
    StudyError
        There is none, or it cannot be read, is damaged, or is of another schema version.
    """
    path = Path(raw) / MANIFEST
    repair = "run upscale-audit ingest again"
    try:
        # Of another version nothing is promised; of this one the shape is checked here.
        manifest = cast("RawManifest", read_document(path, _Versioned))
        version = manifest["schema_version"]
        if version == SCHEMA_VERSION:
            check_shape(manifest, RawManifest)
    except FileNotFoundError:
        raise StudyError(
            f"{raw} holds no finished ingest; run upscale-audit ingest first"
        ) from None
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror}; {repair}") from None
    except ValueError as error:
        raise StudyError(f"{path} is not as ingest writes it: {error}; {repair}") from None
    if version != SCHEMA_VERSION:
        raise StudyError(
            f"{path} has schema version {version}; expected {SCHEMA_VERSION}; {repair}"
        )
    return manifest


class _Versioned(TypedDict):
    schema_version: int
