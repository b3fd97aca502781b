"""The labelled images of a study, as a reader is trained on them: prepared, and kept in a file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.files import to_text
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.labels import read_entries
from upscale_audit.ingest.pairing import list_references
from upscale_audit.ingest.patients import read_patients
from upscale_audit.ingest.windows import PLAIN, Display
from upscale_audit.ingest.workers import map_units
from upscale_audit.reading.preparing import prepare_image

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.study import Study


NO_FINDING = "no finding"
"""In lower case; a label that says that there is none."""
_CHESTXRAY8_NAME = re.compile(r"([0-9]{8})_[0-9]{3}")


class StoredRows:
    """Some rows of an array in some order, read when they are asked for.

    Parameters
    ----------
    array : (N, ...) array
    index : (M,) int array
    """

    def __init__(self, array: npt.NDArray[np.uint8], index: npt.NDArray[np.intp]) -> None:
        self._array, self._index = array, index

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, rows: slice | npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        chosen: npt.NDArray[np.uint8] = self._array[self._index[rows]]
        return chosen


@dataclass(frozen=True)
class LabelledStudy:
    """What a study's labels say of its references.

    Attributes
    ----------
    image_ids : tuple of str
        Of the labelled references, in the order of their names.
    files : tuple of Path
    findings : tuple of str
    labels : (N, C) bool array
        Whether the label names the finding.
    patients : tuple of str or None
        As the labels name them.
    unlabelled : int
        References of which the labels say nothing; they are left out.
    """

    image_ids: tuple[str, ...]
    files: tuple[Path, ...]
    findings: tuple[str, ...]
    labels: npt.NDArray[np.bool_]
    patients: tuple[str | None, ...]
    unlabelled: int


@dataclass(frozen=True)
class ImageTask:
    """One image to prepare; travels to a worker process."""

    number: int
    file: Path
    input_px: int
    max_image_px: int
    colour: str
    display: Display = PLAIN


@dataclass(frozen=True)
class PreparedImage:
    """One image as it is trained on; `grey` is None where `reason` says why not."""

    number: int
    grey: npt.NDArray[np.uint8] | None
    pixel_sha256: str
    patient_id: str | None
    reason: str


@dataclass(frozen=True)
class PreparedImages:
    """All of a study's, in the order of their names; None where an image was refused."""

    pixels: npt.NDArray[np.uint8]
    sha256: tuple[str, ...]
    patients: tuple[str, ...]
    refused: dict[int, str]


def read_labels(study: Study, wanted: Sequence[str] = ()) -> LabelledStudy:
    """Read what a study's labels say of its references.

    Parameters
    ----------
    study : ingest.study.Study
    wanted : sequence of str
        Findings, in the order of the network's outputs; by default all that the labels of the
        references name, by name.

    Returns
    -------
    LabelledStudy

    Raises
    ------
    StudyError
        The study has no labels or no references, or a finding is none of the labels'.
    """
    references, _ = list_references(study)
    ids = {to_text(image_id): path for image_id, path in references.items()}
    if study.patients is not None:
        entries = read_patients(study.patients, list(ids))
    elif study.label_entries is not None:
        entries = read_entries(study.label_entries)
    else:
        raise StudyError(
            f"{study.path} names no labels: expected entries or patients in [labels], with the"
            " findings of the images (study.example.toml)"
        )
    rows = {
        entry["image_id"]: entry
        for entry in entries
        if entry["image_id"] in ids and entry["finding_labels"]
    }
    named = {image_id: set(rows[image_id]["finding_labels"].split("|")) for image_id in rows}
    known = sorted({name for names in named.values() for name in names} - {""})
    findings = _choose_findings(study, [name for name in known if not _is_none(name)], wanted)
    image_ids = tuple(sorted(rows))
    return LabelledStudy(
        image_ids,
        tuple(ids[image_id] for image_id in image_ids),
        findings,
        np.array([[name in named[image_id] for name in findings] for image_id in image_ids], bool),
        tuple(rows[image_id]["patient_id"] for image_id in image_ids),
        len(ids) - len(rows),
    )


def prepare_images(
    study: Study,
    labelled: LabelledStudy,
    input_px: int,
    file: Path,
    workers: int = 1,
    progress: Callable[..., None] | None = None,
) -> PreparedImages:
    """Decode a study's labelled images, bring them to a reader's size and write them to a file.

    Parameters
    ----------
    study : ingest.study.Study
    labelled : LabelledStudy
    input_px : int
    file : Path
        Receives ``N * input_px**2`` bytes, and is mapped: memory need not hold them.
    workers : int
        Processes; no value depends on it.
    progress : callable, optional
        Called as ``progress(done, total)``.

    Returns
    -------
    PreparedImages

    Notes
    -----
    Images are decoded as ``ingest`` does, prepared as for reading (`reading.preparing`), and
    rounded to whole levels. An image without a patient in the labels is of the one that its DICOM
    header or its name as in ChestX-ray8 (patient, underscore, follow-up) states, else of one of its
    own: as ``int_clusters`` of the warehouse does.
    """
    parameters, total = study.ingest_parameters, len(labelled.image_ids)
    display = Display(parameters.window)
    tasks = [
        ImageTask(number, path, input_px, parameters.max_image_px, parameters.colour, display)
        for number, path in enumerate(labelled.files)
    ]
    sha256, patients, refused = [""] * total, [""] * total, {}
    with file.open("wb") as stored:
        for done, image in enumerate(map_units(prepare_file, tasks, workers, _name_task), start=1):
            number = image.number
            grey = np.zeros((input_px, input_px), np.uint8) if image.grey is None else image.grey
            stored.seek(number * grey.size)
            stored.write(grey.tobytes())
            if image.grey is None:
                refused[number] = image.reason
            sha256[number] = image.pixel_sha256
            stated = labelled.patients[number] or image.patient_id
            patients[number] = name_owner(labelled.image_ids[number], stated)
            if progress is not None:
                progress(done, total)
    pixels = np.memmap(file, np.uint8, "r", shape=(total, input_px, input_px))
    return PreparedImages(pixels, tuple(sha256), tuple(patients), refused)


def prepare_file(task: ImageTask) -> PreparedImage:
    """Decode one file and bring it to the reader's size; runs in a worker process."""
    try:
        data = read_bytes(task.file, limit_bytes(task.max_image_px))
        suffix = task.file.suffix.lower()
        image = decode_image(data, suffix, task.max_image_px, task.colour, task.display)
    except RejectedFileError as reject:
        return PreparedImage(task.number, None, "", None, str(reject))
    grey = np.rint(prepare_image(image.grey, task.input_px)).clip(0, 255).astype(np.uint8)
    return PreparedImage(task.number, grey, image.facts.pixel_sha256, image.patient_id, "")


def name_owner(image_id: str, stated: str | None) -> str:
    """Name whose image it is: the patient that is stated or that its name tells, else itself."""
    if stated:
        return f"patient:{stated}"
    match = _CHESTXRAY8_NAME.fullmatch(image_id)
    return f"patient:{int(match[1])}" if match else f"image:{image_id}"


def _choose_findings(study: Study, known: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    if not known:
        raise StudyError(
            f"{study.path}: the labels name no finding of any reference; expected names as"
            " Effusion or Mass, separated by |, in the list that [labels] names"
        )
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise StudyError(
                f"--findings {name!r}: no label of {study.path} names it; {hint}expected of"
                f" {', '.join(known)}"
            )
        if list(wanted).count(name) > 1:
            raise StudyError(f"--findings names {name!r} twice; name it once")
    return tuple(wanted or known)


def _is_none(name: str) -> bool:
    return name.lower().replace("_", " ") == NO_FINDING


def _name_task(task: ImageTask) -> str:
    return to_text(task.file)
