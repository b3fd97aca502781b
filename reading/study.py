"""Readers on a study: every image that its tables compare, read by each, as Parquet."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, hash_json, locked, name_within, replacing, to_text
from upscale_audit.ingest.manifests import (
    MANIFEST,
    describe_code,
    hash_dependencies,
    read_manifest,
    seal_folder,
)
from upscale_audit.ingest.pairing import pair_study
from upscale_audit.ingest.schema import READING_TABLES, SCHEMA_VERSION, arrow_schema
from upscale_audit.ingest.sources import name_source
from upscale_audit.ingest.stated_window import name_window
from upscale_audit.ingest.vouchers import Journal, find_stage_vouchers
from upscale_audit.ingest.windows import Display
from upscale_audit.ingest.workers import map_units
from upscale_audit.reading.images import (
    LR,
    REFERENCE,
    RESTORED,
    UNITS,
    Group,
    ImageTask,
    ReaderTask,
    Reading,
    Subject,
    Summary,
    keep_reader,
    read_group,
    read_unit,
)
from upscale_audit.reading.maps import LEVELS
from upscale_audit.reading.readers import complete_declaration, hash_weights

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study


STAGE = "readings"
DEVICES = ("cpu", "cuda")
BATCH = 32
"""Images that a GPU is given at once, unless the command says otherwise."""
ROWS_PER_GROUP = 131_072

_MakeRows = Callable[[Mapping[str, str | None], Reading, int], Iterator[dict[str, Any]]]
"""Makes the rows of a key, of a reading and the number of a finding in it."""


@dataclass(frozen=True)
class ReadReport:
    """What was read: `kept` of the readings were there already; `skipped` says why by name."""

    folder: Path
    readers: int
    images: int
    kept: int
    skipped: dict[str, str]


def read_study(
    study: Study,
    device: str = "cpu",
    batch: int | None = None,
    workers: int | None = None,
    progress: Callable[..., None] | None = None,
) -> ReadReport:
    """Let every reader of a study read its images, and write ``readings/``.

    Parameters
    ----------
    study : ingest.study.Study
    device : {"cpu", "cuda"}
    batch : int, optional
        Images that a GPU is given at once; on a CPU they are read one by one.
    workers : int, optional
        Processes on a CPU, threads beside a GPU; all cores by default. No value depends on it.
    progress : callable, optional
        Called as ``progress(done, total, name)`` after each reference and its images.

    Returns
    -------
    ReadReport

    Raises
    ------
    StudyError
        The study names no reader or no image, a reader cannot be loaded or gives what is no
        score, or the device is not there.

    Notes
    -----
    Reference, LR image and restored images are those that ingest measures: its pairing, decoding,
    windows and size rule. What is read is kept by image (`reading.images`), so a run that was
    stopped goes on; the tables are written whole, and their manifest last. On a CPU the bytes are
    the same whatever was stopped; on a GPU a reading may depend, in its last digits, on those
    beside it in a batch.
    """
    if not study.readers:
        raise StudyError(
            f"{study.path} names no reader: add [[readers]], as docs/readers.md and"
            " study.example.toml show"
        )
    if device not in DEVICES:
        raise StudyError(f"--device {device}; expected {' or '.join(DEVICES)}")
    folder, count = study.readings, workers or os.cpu_count() or 1
    tasks = _plan_tasks(study)
    journal = Journal(study.output, STAGE)
    with locked(study.output, "ingest, build or read"):
        readers, described = _describe_readers(study, device)
        vouched = _find_vouched(study, journal)
        journal.write(vouched)  # the manifest, which named them, goes
        (folder / MANIFEST).unlink(missing_ok=True)
        tasks = [
            replace(task, vouched=frozenset(vouched.get(task.unit_name, ()))) for task in tasks
        ]
        _clear(folder, tasks)
        groups = _plan_groups(tasks, readers, device, batch or BATCH, count)
        done = []
        for summary in _carry_out(groups, 1 if device == "cuda" else count):
            if summary.unit_sha256 not in vouched.get(summary.unit_name, ()):
                journal.add(summary.unit_name, summary.unit_sha256)
            done.append(summary)
            if progress is not None:
                progress(len(done), len(tasks), summary.image_id)
        done.sort(key=lambda summary: summary.image_id)
        names = _write_tables(folder, done, readers, described)
        recipe = _describe_recipe(study, readers, done)
        seal_folder(folder, STAGE, study.name, names, recipe, {})
        manifest_sha256 = hash_file(folder / MANIFEST)
        journal.write({MANIFEST: {manifest_sha256}})
    skipped = {name: why for item in done for name, why in item.left_out.items()}
    return ReadReport(
        folder,
        len(readers),
        sum(item.images for item in done),
        sum(item.kept for item in done),
        dict(sorted(skipped.items())),
    )


def _plan_tasks(study: Study) -> list[ImageTask]:
    """List the images to read, in the order of their names."""
    pairing, references = pair_study(study), study.reference_folder
    files: dict[str, dict[Subject, tuple[Path, str]]] = {
        image_id: {Subject(REFERENCE): (path, _name(REFERENCE, path, references))}
        for image_id, path in pairing.references.items()
    }
    for pair in pairing.pairs:
        if pair.file is not None:
            row = {"role": RESTORED, "file_name": pair.name}
            row |= {"model_id": pair.model_id, "inference_path": pair.inference_path}
            subject = Subject(RESTORED, pair.model_id, pair.inference_path)
            files[pair.image_id][subject] = pair.file, name_source(row)
    if study.lr is not None and study.lr.folder is not None:
        for image_id, path in pairing.lr_files.items():
            files[image_id][Subject(LR)] = path, _name(LR, path, study.lr.folder)
    return [
        ImageTask(
            image_id=image_id,
            files=files[image_id],
            lr=study.lr,
            size_rule=study.size_rule,
            max_image_px=study.ingest_parameters.max_image_px,
            colour=study.ingest_parameters.colour,
            folder=study.readings,
            display=Display(study.ingest_parameters.window),
        )
        for image_id in sorted(files, key=to_text)
    ]


def _name(role: str, path: Path, folder: Path) -> str:
    return name_source({"role": role, "file_name": name_within(path, folder)})


def _describe_readers(
    study: Study, device: str
) -> tuple[tuple[ReaderTask, ...], list[dict[str, Any]]]:
    """Load each reader once; gives what tasks need of it, and the rows of `readers`."""
    tasks, rows = [], []
    for stated in study.readers:
        sha256 = hash_weights(stated)
        declared = complete_declaration(stated)
        loaded = keep_reader(declared, device, sha256)
        if declared.intensity is None:
            raise TypeError(f"{declared.reader!r} is not complete")
        row = {
            "reader": declared.reader,
            "format": declared.format,
            "file_sha256": sha256,
            "input_px": loaded.input_px,
            "intensity": declared.intensity.name,
            "score": declared.score,
            "has_maps": loaded.has_maps,
            "library": loaded.library,
            "device": device,
        }
        recipe = row | {
            "mean": declared.intensity.mean,
            "std": declared.intensity.std,
            "findings": declared.findings,
            "libraries": _describe_libraries(),
            "code": describe_code("reading", "*"),
        }
        tasks.append(ReaderTask(declared, sha256, loaded.has_maps, hash_json(recipe)))
        rows.append(row)
    return tuple(tasks), rows


@functools.cache
def _describe_libraries() -> dict[str, str]:
    """Name the versions of what resizes images and finds areas."""
    return {"numpy": np.__version__, "opencv": cv2.__version__}


def _find_vouched(study: Study, journal: Journal) -> dict[str, set[str]]:
    """Find which files of images may be kept: SHA-256s by name, as `ingest.vouchers` has it.

    Those that a run signed which did not end, and those of a manifest that is the one that was
    signed; its own word counts where nothing outside of it says anything.
    """
    signed, path = journal.read() or {}, study.readings / MANIFEST
    found = {name: set(hashes) for name, hashes in signed.items() if name != MANIFEST}
    vouched = find_stage_vouchers(study.output, STAGE)
    if not path.is_file() or (vouched is not None and hash_file(path) not in vouched):
        return found
    try:
        files = read_manifest(path, f"upscale-audit read {study.path}")["files"]
    except StudyError:  # a damaged one vouches for nothing
        return found
    for name, sha256 in files.items():
        if name.startswith(f"{UNITS}/"):
            found.setdefault(name, set()).add(sha256)
    return found


def _clear(folder: Path, tasks: Iterable[ImageTask]) -> None:
    """Remove the files of images that are no longer in the study, and half-written ones."""
    wanted = {folder / task.unit_name for task in tasks}
    place = folder / UNITS
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        if path not in wanted and not path.is_dir():
            path.unlink()


def _plan_groups(
    tasks: Sequence[ImageTask],
    readers: tuple[ReaderTask, ...],
    device: str,
    batch: int,
    threads: int,
) -> list[Group]:
    """Group the images: one by one for processes of a CPU, batches of them for a GPU."""
    if device == "cpu":
        return [Group((task,), readers, device) for task in tasks]
    most = max(len(task.files) for task in tasks)
    step = max(threads, math.ceil(batch / most))
    return [
        Group(tuple(tasks[at : at + step]), readers, device, batch, threads)
        for at in range(0, len(tasks), step)
    ]


def _carry_out(groups: Sequence[Group], workers: int) -> Iterator[Summary]:
    """Read all; yields what each image's file says but its numbers, as it is done."""
    for done in map_units(read_group, groups, workers, _name_group):
        yield from done


def _name_group(group: Group) -> str:
    return to_text(group.tasks[0].image_id)


def _describe_recipe(
    study: Study, readers: Sequence[ReaderTask], done: Sequence[Summary]
) -> dict[str, Any]:
    """Name what decides the tables."""
    lr = study.lr
    return {
        "command": "read",
        "readers": {task.declared.reader: task.recipe_sha256 for task in readers},
        "parameters": {
            "colour": study.ingest_parameters.colour,
            "map_levels": LEVELS,
            "size_rule": study.size_rule,
            "lr": None if lr is None else {"rule": lr.rule, "scale": lr.scale},
        }
        | name_window(study.ingest_parameters.window),
        "schema_version": SCHEMA_VERSION,
        "code": describe_code("reading", "*"),
        "dependencies_sha256": hash_dependencies(),
        "inputs": {
            "sources": {name: sha256 for item in done for name, sha256 in item.sources.items()}
        },
    }


def _write_tables(
    folder: Path,
    done: Sequence[Summary],
    readers: Sequence[ReaderTask],
    described: Sequence[dict[str, Any]],
) -> list[str]:
    """Write the tables, by reader and image; gives the names of all files of the folder."""
    makers: dict[str, _MakeRows] = {
        "readings": _list_scores,
        "reading_maps": _list_agreements,
        "reading_boxes": _list_boxes,
    }
    names = [item.unit_name for item in done]
    for table in READING_TABLES:
        names.append(f"{table}.parquet")
        make = makers.get(table)
        rows = iter(described) if make is None else _list_rows(folder, done, readers, make)
        _write_table(folder / names[-1], table, rows)
    return names


def _write_table(path: Path, table: str, rows: Iterator[dict[str, Any]]) -> None:
    """Write a table's rows as they come, a bounded number at a time."""
    schema = arrow_schema(table, {"schema_version": str(SCHEMA_VERSION)})
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        part: list[dict[str, Any]] = []
        for row in rows:
            part.append(row)
            if len(part) == ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(part, schema=schema))
                part = []
        if part:
            writer.write_table(pa.Table.from_pylist(part, schema=schema))


def _list_rows(
    folder: Path,
    done: Sequence[Summary],
    readers: Sequence[ReaderTask],
    make: _MakeRows,
) -> Iterator[dict[str, Any]]:
    """Yield a table's rows in the order of its keys, findings by their names."""
    for reader in readers:
        findings = [name for name in reader.declared.findings if name]
        order = sorted(range(len(findings)), key=findings.__getitem__)
        for item in done:
            unit = read_unit(folder / item.unit_name, {item.unit_sha256})
            if unit is None:
                raise StudyError(
                    f"{folder / item.unit_name} changed while it was used; run upscale-audit read"
                    " again"
                )
            for reading in unit["readings"]:
                if reading["reader"] != reader.declared.reader:
                    continue
                key: dict[str, str | None] = {
                    "reader": reading["reader"],
                    "image_id": unit["image_id"],
                    "subject": reading["subject"],
                    "model_id": reading["model_id"],
                    "inference_path": reading["inference_path"],
                }
                for number in order:
                    yield from make(key | {"finding": findings[number]}, reading, number)


def _list_scores(
    key: Mapping[str, str | None], reading: Reading, number: int
) -> Iterator[dict[str, Any]]:
    yield {**key, "file_sha256": reading["file_sha256"], "score": reading["scores"][number]}


def _list_agreements(
    key: Mapping[str, str | None], reading: Reading, number: int
) -> Iterator[dict[str, Any]]:
    if reading["agreements"] is not None:
        yield {**key, **reading["agreements"][number]}


def _list_boxes(
    key: Mapping[str, str | None], reading: Reading, number: int
) -> Iterator[dict[str, Any]]:
    names = [column.name for column in READING_TABLES["reading_boxes"]][-6:]
    for box in reading["boxes"][number] if reading["boxes"] is not None else ():
        level, count, *sides = box
        yield {**key, **dict(zip(names, (int(level), int(count), *sides), strict=True))}
