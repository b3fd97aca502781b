"""Who is who in any collection: a list of images and patients, by named columns or a known layout.

Intervals resample patients, and no rule finds them in file names alone: collections name patients
in a path, in a column, or not at all. What a list says becomes rows as of ChestX-ray8's entry list.
"""

import ast
import difflib
import logging
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.labels import name_patient, read_age
from upscale_audit.ingest.suffixes import FORMATS_BY_SUFFIX, OTHER_IMAGES
from upscale_audit.ingest.tables import read_rows

COLUMNS = ("image", "patient", "sex", "age", "view", "findings")
"""What a list's columns may be named to be; the first is needed."""

logger = logging.getLogger(__name__)

_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F"}
_SUFFIXES = {*FORMATS_BY_SUFFIX, *OTHER_IMAGES} - {""}
_CHEXPERT_PATIENT = re.compile(r"(?:^|[/_])(patient[0-9]+)(?:[/_]|$)")


@dataclass(frozen=True)
class PatientList:
    """A list of images and patients that a study names.

    Attributes
    ----------
    file : Path
    layout : str or None
        One of `LAYOUTS`; None where columns are named.
    columns : tuple of (str, str)
        Which of `COLUMNS` each column of the file is, sorted; empty under a layout.
    """

    file: Path
    layout: str | None = None
    columns: tuple[tuple[str, str], ...] = ()


_ReadCell = Callable[[str, Mapping[str, str]], str | int | None]
"""Reads a cell, given its row too; None for what it cannot read."""


@dataclass(frozen=True)
class _Layout:
    """How a collection's list is read.

    `names` gives the names that a row's image may have, the most telling first. `findings` tells
    whether a column of the header is a finding; `read` overrides how a column is read.
    """

    columns: dict[str, str]
    names: Callable[[Mapping[str, str]], list[str]]
    read: dict[str, _ReadCell]
    findings: Callable[[str], object] | None = None
    is_many_rows: bool = False


def read_patients(patients: PatientList, image_ids: Collection[str]) -> list[dict[str, Any]]:
    """Read a list of images and patients.

    Parameters
    ----------
    patients : PatientList
    image_ids : collection of str
        The study's images; a row is of one of them, by the longest of its names that is.

    Returns
    -------
    list of dict
        Rows of `ingest.schema.LABELS`, sorted by image_id; rows of other images under their
        longest name.

    Raises
    ------
    StudyError
        Unreadable file, missing column, an image under two patients, no image of the study.

    Notes
    -----
    ``chexpert``: the patient is a part of ``Path``; findings are the columns that are 1 (uncertain
    ones, -1, are left out). ``mimic-cxr``: the metadata list; it has no findings. ``padchest``: age
    from the year of birth to the study's date; findings from ``Labels``. ``vindr``: no patient,
    which its list does not name; a finding is one that any of its radiologists marked.

    A row's image may be written as a path: its parts joined by ``_`` are tried from all of them to
    the last alone, so ``patient00001/study1/view1_frontal.jpg`` is
    ``patient00001_study1_view1_frontal`` too.
    """
    layout = LAYOUTS.get(patients.layout or "") or _name_layout(patients)
    rows = read_rows(patients.file)
    _, header = next(rows, (0, []))
    index = _find_columns(patients, layout, [cell.strip() for cell in header])
    entries: dict[str, dict[str, Any]] = {}
    known, found = set(image_ids), set()
    for number, cells in rows:
        row = {name: cells[at].strip() if at < len(cells) else "" for name, at in index.items()}
        where = f"{patients.file} line {number}"
        names = [unicodedata.normalize("NFC", name) for name in layout.names(row) if name]
        if not names:
            raise StudyError(f"{where}: the column of the image is empty")
        image_id = next((name for name in names if name in known), names[0])
        found.update({image_id} & known)
        entry = _read_entry(layout, row, image_id)
        _merge(entries, entry, layout, where)
    _check_found(patients, known, found, entries)
    return [entries[image_id] for image_id in sorted(entries)]


def is_plain_list(path: Path) -> bool:
    """Whether a list has columns called image and patient, and needs nothing stated to be read."""
    try:
        _, header = next(read_rows(path), (0, []))
    except StudyError:
        return False  # whoever reads it says why
    return {"image", "patient"} <= {cell.strip().lower() for cell in header}


def _name_layout(patients: PatientList) -> _Layout:
    columns = dict(patients.columns) or {name: name for name in COLUMNS}
    return _Layout(columns, lambda row: _name_paths(row["image"]), {})


def _find_columns(patients: PatientList, layout: _Layout, header: Sequence[str]) -> dict[str, int]:
    """Where each column that is read stands; that of a finding under ``finding:`` and its name."""
    places = {name.lower(): at for at, name in reversed(list(enumerate(header)))}
    is_stated = bool(patients.columns)
    index = {}
    for name, column in layout.columns.items():
        if column.lower() in places:
            index[name] = places[column.lower()]
        elif is_stated or name in ("image", *(("patient",) if not patients.layout else ())):
            near = difflib.get_close_matches(column, header, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            how = "[labels] columns names them" if not patients.layout else "[labels] layout"
            raise StudyError(
                f"{patients.file}: no column {column!r} for the {name} among"
                f" {', '.join(header) or 'none'}; {hint}{how}"
            )
    if layout.findings is not None:
        for at, name in enumerate(header):
            if layout.findings(name):
                index[f"finding:{name}"] = at
    return index


def _read_entry(layout: _Layout, row: Mapping[str, str], image_id: str) -> dict[str, Any]:
    """Make a row of the raw table; what cannot be read is None."""
    read = {name: layout.read.get(name, _READERS[name]) for name in _READERS}
    values = {name: read[name](row.get(name, ""), row) for name in read}
    findings = values["findings"]
    if layout.findings is not None:
        marked = [
            name.removeprefix("finding:")
            for name, cell in row.items()
            if name.startswith("finding:") and cell in ("1", "1.0")
        ]
        findings = "|".join(marked) or None
    return {
        "image_id": image_id,
        "patient_id": values["patient"],
        "finding_labels": findings,
        "follow_up": None,
        "age_years": values["age"],
        "sex": values["sex"],
        "view_position": values["view"],
    }


def _merge(
    entries: dict[str, dict[str, Any]], entry: dict[str, Any], layout: _Layout, where: str
) -> None:
    """Add an entry; one image has one patient, and one row but where a layout has more."""
    image_id = entry["image_id"]
    former = entries.setdefault(image_id, entry)
    if former is entry:
        return
    if former["patient_id"] != entry["patient_id"]:
        raise StudyError(
            f"{where}: {image_id} is of patient {entry['patient_id']}, and of"
            f" {former['patient_id']} above; keep the right one"
        )
    if not layout.is_many_rows:
        raise StudyError(f"{where}: {image_id} is listed twice; keep one row")
    both = dict.fromkeys(
        name
        for item in (former, entry)
        for name in (item["finding_labels"] or "").split("|")
        if name
    )
    named = [name for name in both if name.lower() != "no finding"] or list(both)
    former["finding_labels"] = "|".join(named) or None


def _check_found(
    patients: PatientList, known: set[str], found: set[str], listed: Collection[str]
) -> None:
    """Refuse a list of other images; say how many of the study's it does not have."""
    if known and not found:
        first = min(listed, default="nothing")
        raise StudyError(
            f"{patients.file} lists no image of the study: its first is {first!r}, the study's"
            f" {min(known)!r}; name the column that has them: [labels] columns = {{ image = ... }}"
        )
    missing = sorted(known - found)
    if missing:
        logger.warning(
            "%s: %d of %d images of the study are not listed (the first: %s): each is a patient of"
            " its own unless its file names one",
            patients.file, len(missing), len(known), missing[0],
        )  # fmt: skip


def _name_paths(text: str) -> list[str]:
    """Names of an image that is written as a path: all its parts joined, to the last alone."""
    path = PurePosixPath(text.replace("\\", "/"))
    stem = path.name
    while PurePosixPath(stem).suffix.lower() in _SUFFIXES:
        stem = PurePosixPath(stem).stem
    parts = [*(part for part in path.parts[:-1] if part not in ("/", ".", "..")), stem]
    return ["_".join(parts[at:]) for at in range(len(parts))]


def _name_mimic(row: Mapping[str, str]) -> list[str]:
    """Names of a MIMIC-CXR image: as its path is joined, and its DICOM id."""
    patient, study, dicom = (row.get(name, "") for name in ("patient", "study", "image"))
    return [f"p{patient}_s{study}_{dicom}", f"s{study}_{dicom}", dicom] if dicom else []


def _read_chexpert_patient(_: str, row: Mapping[str, str]) -> str | None:
    match = _CHEXPERT_PATIENT.search(row["image"].replace("\\", "/"))
    return match[1] if match else None


def _read_chexpert_view(text: str, row: Mapping[str, str]) -> str | None:
    return text or (row.get("frontal", "") if row.get("frontal") == "Lateral" else None) or None


def _read_findings(text: str, _: Mapping[str, str]) -> str | None:
    """Read findings, separated by | or ;, or written as a Python list."""
    if text.startswith("["):
        try:
            listed = ast.literal_eval(text)
            names = [str(name).strip() for name in listed]
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
        return "|".join(name for name in names if name) or None
    return "|".join(name.strip() for name in re.split(r"[|;]", text) if name.strip()) or None


def _read_padchest_age(_: str, row: Mapping[str, str]) -> int | None:
    """Years from the year of birth to that of the study."""
    study = re.match(r"[0-9]{4}", row.get("study_date", ""))
    birth = re.match(r"[0-9]{4}", row.get("birth", ""))
    years = int(study[0]) - int(birth[0]) if study and birth else -1
    return years if 0 <= years < 130 else None


_READERS: dict[str, _ReadCell] = {
    "patient": lambda text, _: name_patient(text) if text else None,
    "sex": lambda text, _: _SEXES.get(text.lower()),
    "age": lambda text, _: read_age(text),
    "view": lambda text, _: text or None,
    "findings": _read_findings,
}

_NO_FINDINGS = {"path", "sex", "age", "frontal/lateral", "ap/pa"}
LAYOUTS = {
    "chexpert": _Layout(
        {"image": "Path", "sex": "Sex", "age": "Age", "frontal": "Frontal/Lateral",
         "view": "AP/PA"},
        lambda row: _name_paths(row["image"]),
        {"patient": _read_chexpert_patient, "view": _read_chexpert_view},
        lambda name: bool(name) and name.lower() not in _NO_FINDINGS,
    ),
    "mimic-cxr": _Layout(
        {"image": "dicom_id", "patient": "subject_id", "study": "study_id", "view": "ViewPosition"},
        _name_mimic,
        {},
    ),
    "padchest": _Layout(
        {"image": "ImageID", "patient": "PatientID", "sex": "PatientSex_DICOM",
         "view": "Projection", "findings": "Labels", "study_date": "StudyDate_DICOM",
         "birth": "PatientBirth"},
        lambda row: _name_paths(row["image"]),
        {"age": _read_padchest_age},
    ),
    "vindr": _Layout(
        {"image": "image_id"},
        lambda row: _name_paths(row["image"]),
        {},
        lambda name: bool(name) and name.lower() not in ("image_id", "rad_id"),
        is_many_rows=True,
    ),
}  # fmt: skip
"""Lists of public collections, by name."""
