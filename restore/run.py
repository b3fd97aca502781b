"""Restore a study: find what is missing or changed, make it in worker processes, sign it off."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.files import hash_file, to_text
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.manifests import describe_code
from upscale_audit.ingest.pairing import list_references
from upscale_audit.ingest.restorers import Repair
from upscale_audit.ingest.stated_window import name_window
from upscale_audit.ingest.study import INFERENCE_PATHS
from upscale_audit.ingest.vouchers import Journal
from upscale_audit.ingest.windows import PLAIN, Display
from upscale_audit.ingest.workers import map_units
from upscale_audit.restore.repair import RepairJob
from upscale_audit.restore.restorers import Restorer, load_network, prepare_restorer
from upscale_audit.restore.shelf import Shelf

if TYPE_CHECKING:
    from upscale_audit.ingest.pairing import RefusedName
    from upscale_audit.ingest.study import Model, Study


_Key = tuple[str, str]
"""A model's name and an inference path: they have one shelf."""


@dataclass(frozen=True)
class Task:
    """One image to restore by one restorer on one inference path."""

    model_id: str
    inference_path: str
    image_id: str
    reference: Path
    input_sha256: str
    restorer: Restorer
    max_image_px: int
    colour: str
    cost: float
    display: Display = PLAIN


@dataclass(frozen=True)
class Restored:
    """What became of a task: a PNG file's bytes, or, where `data` is empty, why there is none."""

    task: Task
    data: bytes = b""
    reject: str | None = None


@dataclass(frozen=True)
class RestoreReport:
    """What a run of `restore_study` did.

    Attributes
    ----------
    made, kept : int
        Images written, and images found complete by their hashes.
    folders : tuple of Path
        Each with its ``.restored.json``.
    rejects : dict
        Why a reference was not restored, by its file name.
    set_aside : tuple of str
        Where images went that had changed since they were restored.
    """

    made: int
    kept: int
    folders: tuple[Path, ...]
    rejects: dict[str, str]
    set_aside: tuple[str, ...]

    def joined(self, other: RestoreReport) -> RestoreReport:
        """Add what was done after it."""
        return RestoreReport(
            made=self.made + other.made,
            kept=self.kept + other.kept,
            folders=self.folders + other.folders,
            rejects=self.rejects | other.rejects,
            set_aside=self.set_aside + other.set_aside,
        )


def repair_models(
    study: Study, repairs: Sequence[Model], references: Mapping[str, Path]
) -> RestoreReport:
    """Repair other models' images: each as little as its LR image demands.

    Parameters
    ----------
    study : ingest.study.Study
    repairs : list of ingest.study.Model
        Each with a `Repair` as its restorer.
    references : dict
        Path by image_id.

    Returns
    -------
    RestoreReport
    """
    rejects: dict[str, str] = {}
    made, kept, folders, set_aside = 0, 0, [], []
    for model in repairs:
        for path in INFERENCE_PATHS:
            if model.folder(path) is None:
                continue
            job = RepairJob(study, model, path, references)
            with _make_shelf(study, model, path, job) as shelf:
                for image_id, sha256 in job.inputs.items():
                    if shelf.has(image_id, sha256):
                        kept += 1
                        continue
                    data, why = job.repair(image_id)
                    if data is not None:
                        shelf.put(image_id, sha256, data)
                        made += 1
                    else:
                        job.rejects[image_id] = why or "not repaired"
                shelf.finish(study.name, model.model_id, job.inputs, job.rejects)
                folders.append(shelf.folder)
                set_aside += shelf.set_aside
            whys = {to_text(references[name].name): why for name, why in job.rejects.items()}
            rejects |= {f"{name} by {model.model_id}": why for name, why in whys.items()}
    return RestoreReport(made, kept, tuple(folders), rejects, tuple(set_aside))


def restore_study(
    study: Study, workers: int | None = None, progress: Callable[..., None] | None = None
) -> RestoreReport:
    """Make the restored images of every model that declares a restorer.

    Parameters
    ----------
    study : ingest.study.Study
    workers : int, optional
        Processes, one core each; all cores by default. Of networks on a GPU: threads that read
        and write images beside it. No pixel depends on it.
    progress : callable, optional
        Called as ``progress(done, 100, label)`` with the share of the estimated work in percent.

    Returns
    -------
    RestoreReport

    Raises
    ------
    StudyError
        No model declares a restorer, weights or a package are missing or not as expected, a
        folder holds images of another origin, another run is at work.

    Notes
    -----
    After a kill at any moment, the next run ends with the same bytes (`restore.shelf`). Models
    without a restorer are left alone.
    """
    models = [model for model in study.models if model.restorer is not None]
    repairs = [model for model in models if isinstance(model.restorer, Repair)]
    models = [model for model in models if model not in repairs]
    if not models and not repairs:
        raise StudyError(
            f"{study.path}: no model declares a restorer: add one to a [[models]] table, as"
            " study.example.toml shows"
        )
    references, refused = list_references(study)
    restorers, architectures = {}, {}
    for model in models:
        restorers[model.model_id] = restorer = _prepare(study, model)
        architectures[model.model_id] = restorer.name_architecture()  # it is loaded now
    inputs, unreadable = _hash_references(references)
    with contextlib.ExitStack() as held:
        shelves = {
            (model.model_id, path): held.enter_context(
                _make_shelf(study, model, path, restorers[model.model_id])
            )
            for model in models
            for path in INFERENCE_PATHS
            if model.folder(path) is not None
        }
        tasks = _plan(study, references, inputs, restorers, shelves)
        rejects = _carry_out(tasks, workers or os.cpu_count() or 1, shelves, progress)
        for key, shelf in shelves.items():
            refusals = unreadable | rejects[key]
            shelf.finish(study.name, key[0], inputs, refusals, architectures[key[0]])
    report = _report(references, refused, inputs, unreadable, shelves, tasks, rejects)
    return report if not repairs else report.joined(repair_models(study, repairs, references))


def _report(
    references: Mapping[str, Path],
    refused: Sequence[RefusedName],
    inputs: Mapping[str, str],
    unreadable: dict[str, str],
    shelves: Mapping[_Key, Shelf],
    tasks: Sequence[Task],
    rejects: Mapping[_Key, dict[str, str]],
) -> RestoreReport:
    whys = unreadable | {name: why for shelf in rejects.values() for name, why in shelf.items()}
    named = {name.name: name.detail for name in refused}
    return RestoreReport(
        made=len(tasks) - sum(map(len, rejects.values())),
        kept=len(shelves) * len(inputs) - len(tasks),
        folders=tuple(shelf.folder for shelf in shelves.values()),
        rejects=named | {to_text(references[name].name): why for name, why in whys.items()},
        set_aside=tuple(name for shelf in shelves.values() for name in shelf.set_aside),
    )


def _prepare(study: Study, model: Model) -> Restorer:
    """Find a model's weights and try them, before hours of work rely on them."""
    if model.restorer is None or isinstance(model.restorer, Repair):
        raise TypeError(f"expected a model that declares a restorer, found {model.model_id}")
    try:
        restorer = prepare_restorer(model.restorer, study.restore_parameters)
        restorer.check()
    except StudyError as error:
        raise StudyError(f"{study.path}, restorer of {model.model_id!r}: {error}") from None
    return restorer


def _make_shelf(
    study: Study, model: Model, inference_path: str, restorer: RepairJob | Restorer
) -> Shelf:
    name = f"{model.model_id}/{inference_path}"

    def signed(*states: str, is_new: bool = False) -> bool:
        """Whether a folder's records were signed; nothing is known of one without a line."""
        journal = Journal(study.output, "restored")
        known = journal.read() or {}
        if is_new:
            journal.write(known | {name: set(states)})
        return is_new or set(states) <= known.get(name, set(states))

    folder = model.folder(inference_path)
    if folder is None:
        raise TypeError(f"expected a folder for {name}")
    return Shelf(
        folder,
        f"{inference_path} of {model.model_id!r}",
        restorer.describe(inference_path) | name_window(study.ingest_parameters.window),
        describe_code("restore", "*")["sha256"],
        signed,
    )


def _hash_references(references: Mapping[str, Path]) -> tuple[dict[str, str], dict[str, str]]:
    """SHA-256 of each reference, and why the others cannot be read, by image_id."""
    inputs, unreadable = {}, {}
    for image_id, path in references.items():
        try:
            if path.exists() and not path.is_file():  # a pipe would never end
                unreadable[image_id] = "unreadable: not a regular file"
            else:
                inputs[image_id] = hash_file(path)
        except OSError as error:
            unreadable[image_id] = f"unreadable: {error.strerror}"
    return inputs, unreadable


def _plan(
    study: Study,
    references: Mapping[str, Path],
    inputs: Mapping[str, str],
    restorers: Mapping[str, Restorer],
    shelves: Mapping[_Key, Shelf],
) -> list[Task]:
    """List what is not on its shelf, the longest work first so that the cores end together."""
    tasks = []
    for (model_id, inference_path), shelf in shelves.items():
        restorer = restorers[model_id]
        for image_id, sha256 in inputs.items():
            if shelf.has(image_id, sha256):
                continue
            size = max(references[image_id].stat().st_size, 1)  # refusing an empty file is work too
            tasks.append(
                Task(
                    model_id=model_id,
                    inference_path=inference_path,
                    image_id=image_id,
                    reference=references[image_id],
                    input_sha256=sha256,
                    restorer=restorer,
                    max_image_px=study.ingest_parameters.max_image_px,
                    colour=study.ingest_parameters.colour,
                    cost=restorer.estimate_cost(size, inference_path == "tta"),
                    display=Display(study.ingest_parameters.window),
                )
            )
    return sorted(tasks, key=lambda task: (-task.cost, task.model_id, task.image_id))


def _carry_out(
    tasks: Sequence[Task],
    workers: int,
    shelves: Mapping[_Key, Shelf],
    progress: Callable[..., None] | None,
) -> dict[_Key, dict[str, str]]:
    """Shelve each image as it comes; gives the refused ones, by shelf and image_id."""
    rejects: dict[_Key, dict[str, str]] = {key: {} for key in shelves}
    work, done = sum(task.cost for task in tasks), 0.0
    try:
        results = _run_tasks(tasks, workers)
        for number, result in enumerate(results, start=1):
            task = result.task
            key = (task.model_id, task.inference_path)
            if result.reject is None:
                shelves[key].put(task.image_id, task.input_sha256, result.data)
            else:
                rejects[key][task.image_id] = result.reject
            done += task.cost
            if progress is not None:
                label = f"{number}/{len(tasks)} images, last {_name_task(task)}"
                progress(max(round(100 * done / work, 2), 0.01), 100, label)
    except MemoryError as error:
        raise StudyError(
            f"memory ran out while images were restored ({error}): run with --workers 1, or give"
            " it more; finished images are kept"
        ) from None
    finally:
        load_network.cache_clear()
    return rejects


def _run_tasks(tasks: Sequence[Task], workers: int) -> Iterator[Restored]:
    """Yield what becomes of each task, those for a GPU first, model by model.

    Notes
    -----
    A network on a GPU is loaded once, in this process: threads read, average and write images
    beside it, so that it need not wait for them. The others have a process for each core.
    """
    on_gpu: dict[Restorer, list[Task]] = {}
    for task in tasks:
        if task.restorer.is_on_gpu:
            on_gpu.setdefault(task.restorer, []).append(task)
    for restorer, group in on_gpu.items():
        restorer.check()  # loads the network before the threads ask for it
        pool = ThreadPoolExecutor(workers)
        try:
            yield from map_units(restore_image, group, workers, _name_task, pool)
        finally:
            pool.shutdown(cancel_futures=True)
            load_network.cache_clear()
    rest = [task for task in tasks if not task.restorer.is_on_gpu]
    yield from map_units(restore_image, rest, workers, _name_task)


def _name_task(task: Task) -> str:
    return f"{to_text(task.image_id)} by {task.model_id}, {task.inference_path}"


def restore_image(task: Task) -> Restored:
    """Restore one image; runs in a worker process.

    Parameters
    ----------
    task : Task

    Returns
    -------
    Restored

    Raises
    ------
    StudyError
        The reference changed since it was planned for, or the network failed.
    """
    try:
        data = read_bytes(task.reference, limit_bytes(task.max_image_px))
        if hashlib.sha256(data).hexdigest() != task.input_sha256:
            raise StudyError(f"{task.reference} changed while it was restored: run this again")
        suffix = task.reference.suffix.lower()
        image = decode_image(data, suffix, task.max_image_px, task.colour, task.display)
    except RejectedFileError as reject:
        return Restored(task, reject=str(reject))
    pixels = image.grey if image.rgb is None else image.rgb
    refusal = task.restorer.find_refusal(pixels.shape)
    if refusal is not None:
        return Restored(task, reject=refusal)
    restored = task.restorer.restore(pixels, task.inference_path == "tta")
    buffer = io.BytesIO()
    Image.fromarray(restored).save(buffer, "PNG")
    return Restored(task, data=buffer.getvalue())
