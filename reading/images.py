"""One reference with its LR and restored images, read by every reader of a study.

What was read is kept in one file an image. Each reading has a key: a hash of the pixels and of all
that decides the scores. A run that was stopped goes on by them, and another model adds its images
alone.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np

from upscale_audit.ingest.documents import MAX_DOCUMENT_BYTES, parse_document, read_bounded
from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.files import canonical_json, hash_json, to_text, write_text
from upscale_audit.ingest.images import decode_image, hash_pixels, limit_bytes, read_bytes
from upscale_audit.ingest.lr import find_size_problem
from upscale_audit.ingest.lr_rules import make_lr
from upscale_audit.ingest.sizes import bring_to_size, check_size
from upscale_audit.ingest.windows import PLAIN, Display
from upscale_audit.reading.maps import compare_maps, light_pixels, list_boxes, place_square
from upscale_audit.reading.preparing import find_square, prepare_image
from upscale_audit.reading.readers import Reader, load_reader

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.images import DecodedImage
    from upscale_audit.ingest.readers import ReaderDeclaration
    from upscale_audit.ingest.study import LrParameters


UNITS = "units"
"""Folder of the images' files, in that of the tables."""
REFERENCE, LR, RESTORED = "reference", "lr", "restored"


@dataclass(frozen=True)
class Subject:
    """What is read: the reference, its LR image, or what a model made of it by a path."""

    subject: str
    model_id: str | None = None
    inference_path: str | None = None


@dataclass(frozen=True)
class ReaderTask:
    """A reader as the images are read by it.

    Attributes
    ----------
    declared : ingest.readers.ReaderDeclaration
        Complete.
    file_sha256 : str
    has_maps : bool
    recipe_sha256 : str
        Of all that decides what it says beside the pixels.
    """

    declared: ReaderDeclaration
    file_sha256: str
    has_maps: bool
    recipe_sha256: str


@dataclass(frozen=True)
class ImageTask:
    """One reference and its other images; travels to a worker process.

    Attributes
    ----------
    image_id : str
    files : dict
        Path and name within the study, by subject.
    lr : ingest.study.LrParameters or None
    size_rule : str or None
    max_image_px : int
    colour : str
    folder : Path
        Of the tables.
    display : ingest.windows.Display
    vouched : frozenset of str
        SHA-256s that the image's file of an earlier run may have to be believed.
    """

    image_id: str
    files: dict[Subject, tuple[Path, str]]
    lr: LrParameters | None
    size_rule: str | None
    max_image_px: int
    colour: str
    folder: Path
    display: Display = PLAIN
    vouched: frozenset[str] = frozenset()

    @property
    def unit_name(self) -> str:
        """Name of the image's file within the folder of the tables."""
        digest = hashlib.sha256(to_text(self.image_id).encode()).hexdigest()
        return f"{UNITS}/{digest[:16]}.json"


@dataclass(frozen=True)
class Group:
    """Images that are read together, `batch` at a time; one by one where it is 1."""

    tasks: tuple[ImageTask, ...]
    readers: tuple[ReaderTask, ...]
    device: str
    batch: int = 1
    threads: int = 1


class Agreement(TypedDict):
    """Columns of `reading_maps` of one finding."""

    map_correlation: float | None
    overlap_60: float | None
    overlap_180: float | None


class Reading(TypedDict):
    """What a reader said of one image; lists are in the order of its findings."""

    reader: str
    subject: str
    model_id: str | None
    inference_path: str | None
    file_sha256: str
    key: str
    scores: list[float]
    agreements: list[Agreement] | None
    boxes: list[list[list[float]]] | None


class Unit(TypedDict):
    """An image's file: what was read of it, from what, and what was left out and why."""

    image_id: str
    sources: dict[str, str]
    left_out: dict[str, str]
    readings: list[Reading]


@dataclass
class _Image:
    """An image's grey values, the file they are of, and pixels of the reference in one of its."""

    grey: npt.NDArray[np.uint8]
    file_sha256: str
    unit_px: float = 1.0

    @functools.cached_property
    def pixels_sha256(self) -> str:
        return hash_pixels(self.grey)


class _Said(NamedTuple):
    """What a reader says of one image: (findings,) scores, and (findings, h, w) maps or None."""

    scores: npt.NDArray[np.float64]
    maps: npt.NDArray[np.float32] | None


@dataclass
class _Work:
    """One reference as it is being read."""

    task: ImageTask
    images: dict[Subject, _Image] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    before: dict[tuple[str | None, ...], Reading] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    kept: int = 0


@dataclass(frozen=True)
class Summary:
    """What an image's file says beside its numbers, and how many readings were there before."""

    image_id: str
    unit_name: str
    unit_sha256: str
    sources: dict[str, str]
    left_out: dict[str, str]
    images: int
    kept: int


def read_group(group: Group) -> list[Summary]:
    """Read the images of a group that are not read yet; runs in a worker process.

    Parameters
    ----------
    group : Group

    Returns
    -------
    list of Summary
        In the order of the tasks; what was read stands in the images' files.

    Raises
    ------
    StudyError
        A reader cannot be loaded, or gives what is no score.
    """
    with ThreadPoolExecutor(group.threads) as pool:
        works = list(pool.map(_open_images, group.tasks))
        for reader in group.readers:
            _read_by(reader, works, group, pool.map)
    return [_close_images(work) for work in works]


def _open_images(task: ImageTask) -> _Work:
    """Decode the images of a reference as ingest does, and find what was read of them before."""
    work = _Work(task)
    unit = read_unit(task.folder / task.unit_name, task.vouched)
    if unit is not None:
        work.before = {_identify(reading): reading for reading in unit["readings"]}
    reference = _decode(work, Subject(REFERENCE), task.display)
    if reference is None:
        return work
    shape, display = reference.grey.shape, reference.display
    work.images[Subject(REFERENCE)] = _Image(reference.grey, reference.facts.file_sha256)
    for subject in task.files:
        if subject.subject == RESTORED:
            restored = _decode(work, subject, display, functools.partial(_fit, task, shape))
            if restored is not None:
                work.images[subject] = _Image(restored.grey, restored.facts.file_sha256)
    lr = _find_lr(work, reference)
    if lr is not None:
        work.images[Subject(LR)] = lr
    return work


def _decode(
    work: _Work,
    subject: Subject,
    display: Display,
    fit: Callable[[DecodedImage], DecodedImage] | None = None,
) -> DecodedImage | None:
    """Decode a file, and bring it to its size; None where it is refused, which is noted."""
    task = work.task
    path, name = task.files[subject]
    try:
        data = read_bytes(path, limit_bytes(task.max_image_px))
        work.sources[name] = hashlib.sha256(data).hexdigest()
        suffix = path.suffix.lower()
        image = decode_image(data, suffix, task.max_image_px, task.colour, display)
        return image if fit is None else fit(image)
    except RejectedFileError as reject:
        work.left_out[name] = str(reject)
        return None


def _fit(task: ImageTask, shape: tuple[int, int], restored: DecodedImage) -> DecodedImage:
    check_size(restored, shape, task.size_rule)
    return restored if task.size_rule is None else bring_to_size(restored, shape, task.size_rule)


def _find_lr(work: _Work, reference: DecodedImage) -> _Image | None:
    """Give the LR image: the file, or what the stated rule makes of the reference, whose it is."""
    lr, shape = work.task.lr, reference.grey.shape
    if lr is None:
        return None
    if lr.folder is not None:
        if Subject(LR) not in work.task.files:
            return None

        def fit(image: DecodedImage) -> DecodedImage:
            problem = find_size_problem(lr, shape, image.grey.shape)
            if problem is not None:
                raise RejectedFileError("size_mismatch", problem)
            return image

        found = _decode(work, Subject(LR), reference.display, fit)
        if found is None:
            return None
        return _Image(found.grey, found.facts.file_sha256, shape[0] / found.grey.shape[0])
    if lr.rule is None or lr.scale is None:
        return None
    if any(side % lr.scale for side in shape):
        what = f"{shape[1]}x{shape[0]} px is no multiple of [lr] scale = {lr.scale}"
        work.left_out[f"LR image of {to_text(work.task.image_id)}"] = what
        return None
    grey = make_lr(reference.grey, lr.scale, lr.rule)
    return _Image(grey, reference.facts.file_sha256, lr.scale)


def _read_by(
    reader: ReaderTask,
    works: Sequence[_Work],
    group: Group,
    map_in_threads: Callable[[Callable[[_Work], None], Sequence[_Work]], Iterable[None]],
) -> None:
    """Let one reader read what it has not, and note all that it says."""
    waiting = [(work, subject) for work in works for subject in _list_waiting(work, reader)]
    found: dict[tuple[int, Subject], _Said] = {}
    for at in range(0, len(waiting), group.batch):
        part = waiting[at : at + group.batch]
        loaded = keep_reader(reader.declared, group.device, reader.file_sha256)
        images = [
            prepare_image(work.images[subject].grey, loaded.input_px) for work, subject in part
        ]
        scores, maps = loaded.read(np.stack(images))
        for number, (work, subject) in enumerate(part):
            activations = None if maps is None else maps[number]
            found[id(work), subject] = _Said(scores[number], activations)

    def note(work: _Work) -> None:
        said = {subject: item for (owner, subject), item in found.items() if owner == id(work)}
        work.readings += _note_readings(work, reader, said)

    list(map_in_threads(note, works))


@functools.cache
def keep_reader(declared: ReaderDeclaration, device: str, sha256: str) -> Reader:
    """Load a reader once a process; see `reading.readers.load_reader`."""
    return load_reader(declared, device, sha256)


def _list_waiting(work: _Work, reader: ReaderTask) -> list[Subject]:
    """List what a reader has yet to read; and the reference, if maps are held against its own."""
    waiting = [
        subject
        for subject, image in work.images.items()
        if _find_kept(work, reader, subject, image) is None
    ]
    if waiting and reader.has_maps and Subject(REFERENCE) not in waiting:
        waiting.insert(0, Subject(REFERENCE))
    return waiting


def _find_kept(work: _Work, reader: ReaderTask, subject: Subject, image: _Image) -> Reading | None:
    """Give what was read before of the same pixels, by the same reader; None without any."""
    name = reader.declared.reader
    reading = work.before.get((name, subject.subject, subject.model_id, subject.inference_path))
    if reading is None or reading["key"] != _make_key(work, reader, image):
        return None
    return reading


def _make_key(work: _Work, reader: ReaderTask, image: _Image) -> str:
    """Name what decides a reading; maps are compared with the reference's, and placed in it."""
    return hash_json(
        {
            "reader": reader.recipe_sha256,
            "pixels": image.pixels_sha256,
            "reference": work.images[Subject(REFERENCE)].pixels_sha256,
        }
    )


def _note_readings(work: _Work, reader: ReaderTask, said: Mapping[Subject, _Said]) -> list[Reading]:
    """Make the readings of one image by one reader, of before and of now."""
    side_px = (
        0 if not work.images else find_square(work.images[Subject(REFERENCE)].grey.shape).side_px
    )
    reference = said[Subject(REFERENCE)].maps if Subject(REFERENCE) in said else None
    reference_lit = None if reference is None else [light_pixels(m, side_px) for m in reference]
    readings = []
    for subject, image in work.images.items():
        kept = _find_kept(work, reader, subject, image)
        if kept is not None:
            # The same pixels, perhaps in another file.
            readings.append(kept | {"file_sha256": image.file_sha256})
            work.kept += 1
            continue
        scores, maps = said[subject]
        reading = Reading(
            reader=reader.declared.reader,
            subject=subject.subject,
            model_id=subject.model_id,
            inference_path=subject.inference_path,
            file_sha256=image.file_sha256,
            key=_make_key(work, reader, image),
            scores=scores.tolist(),
            agreements=None,
            boxes=None,
        )
        if maps is not None and reference is not None and reference_lit is not None:
            frame = place_square(find_square(image.grey.shape), image.unit_px)
            is_reference = subject == Subject(REFERENCE)
            lit = reference_lit if is_reference else [light_pixels(m, side_px) for m in maps]
            reading["boxes"] = [[list(box) for box in list_boxes(item, frame)] for item in lit]
            if not is_reference:
                pairs = zip(maps, reference, lit, reference_lit, strict=True)
                reading["agreements"] = [Agreement(**compare_maps(*pair)) for pair in pairs]  # type: ignore[typeddict-item]  # its columns
        readings.append(reading)
    return readings


def _close_images(work: _Work) -> Summary:
    """Write an image's file, unless it stands there as it would be written."""
    unit = Unit(
        image_id=to_text(work.task.image_id),
        sources=dict(sorted(work.sources.items())),
        left_out=dict(sorted(work.left_out.items())),
        readings=sorted(work.readings, key=_order),
    )
    path, text = work.task.folder / work.task.unit_name, canonical_json(unit) + "\n"
    if len(text.encode()) > MAX_DOCUMENT_BYTES:
        raise StudyError(_describe_excess(unit))
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)
    return Summary(
        image_id=unit["image_id"],
        unit_name=work.task.unit_name,
        unit_sha256=hashlib.sha256(text.encode()).hexdigest(),
        sources=unit["sources"],
        left_out=unit["left_out"],
        images=len(work.images),
        kept=work.kept,
    )


def _describe_excess(unit: Unit) -> str:
    """Say whose boxes make an image's file larger than one that is read back."""
    counts: dict[str, int] = {}
    for reading in unit["readings"]:
        found = sum(map(len, reading["boxes"] or ()))
        counts[reading["reader"]] = counts.get(reading["reader"], 0) + found
    most = max(counts, key=lambda name: counts[name])
    return (
        f"{unit['image_id']}: what readers say of it is over {MAX_DOCUMENT_BYTES >> 20} MiB; of"
        f" {most!r} alone there are {counts[most]} boxes round areas of its maps: export it without"
        " maps or with coarser ones, or name fewer findings in [[readers]]"
    )


def _identify(reading: Reading) -> tuple[str | None, ...]:
    return (
        reading["reader"], reading["subject"], reading["model_id"], reading["inference_path"],
    )  # fmt: skip


def _order(reading: Reading) -> tuple[str, ...]:
    return tuple(item or "" for item in _identify(reading))


def read_unit(path: Path, vouched: Collection[str]) -> Unit | None:
    """Read an image's file.

    Parameters
    ----------
    path : Path
    vouched : collection of str
        SHA-256s that the file may have.

    Returns
    -------
    Unit or None
        None where there is none, it is not vouched for or of another shape.
    """
    try:
        data = read_bounded(path, MAX_DOCUMENT_BYTES)
        if hashlib.sha256(data).hexdigest() not in vouched:
            return None
        return parse_document(data, Unit)
    except (OSError, ValueError):
        return None
