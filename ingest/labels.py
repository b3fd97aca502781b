"""ChestX-ray8's entry list: findings and patients per image."""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.tables import read_cell, read_filled_rows

_ENTRY_COLUMNS = {
    "imageindex": "image_id",
    "findinglabels": "finding_labels",
    "followup": "follow_up",
    "patientid": "patient_id",
    "patientage": "age_years",
    "patientgender": "sex",
    "patientsex": "sex",
    "viewposition": "view_position",
}
_FINDING_NAMES = {"Infiltrate": "Infiltration", "No_Finding": "No Finding"}
_OPTIONAL = ("follow_up", "age_years", "sex", "view_position")
"""What no join needs: NULL where it is empty or cannot be read."""
_YEARS = {"": 1, "Y": 1, "M": 12, "W": 52.1775, "D": 365.2425}
"""How many of a unit are a year; the units of DICOM's age string (PS3.5, VR AS)."""

logger = logging.getLogger(__name__)


def read_entries(path: Path) -> list[dict[str, Any]]:
    """Read ``Data_Entry_2017*.csv`` (plain or gzip).

    Returns
    -------
    list of dict
        Rows of `ingest.schema.LABELS`, sorted by image_id.

    Raises
    ------
    StudyError
        Unreadable file, missing column, an image or patient without a name, an image listed
        twice.

    Notes
    -----
    A patient's number is the same with and without leading zeros. Ages are whole years, of months
    (``013M``), weeks and days too. What is optional and cannot be read is None, and counted in a
    warning.

    Both published headers are read (``Follow-up #``, ``Patient Gender`` or ``Patient
    Sex``); their size and spacing columns hold commas inside brackets and are not needed.
    """
    rows = read_filled_rows(path)
    _, names = next(rows)
    header = [re.sub(r"[^a-z]", "", cell.lower()) for cell in names]
    index: dict[str, int] = {}
    for position, cell in enumerate(header):
        if cell in _ENTRY_COLUMNS:
            index.setdefault(_ENTRY_COLUMNS[cell], position)
    missing = sorted(set(_ENTRY_COLUMNS.values()) - set(index))
    if missing:
        raise StudyError(
            f"{path} is no ChestX-ray8 entry list: no column for {', '.join(missing)} among"
            f" {', '.join(names)}; expected Data_Entry_2017.csv or Data_Entry_2017_v2020.csv;"
            " a list of another collection is named as [labels] patients (docs/images.md)"
        )
    entries: dict[str, dict[str, Any]] = {}
    unread: Counter[str] = Counter()
    for number, row in rows:
        entry: dict[str, Any] = {
            name: _read_cell(path, number, row, name, index[name]) for name in index
        }
        unread.update(name for name in _OPTIONAL if entry[name] is None)
        if entries.setdefault(entry["image_id"], entry) is not entry:
            raise StudyError(f"{path} line {number}: {entry['image_id']} is listed twice")
    for name, count in unread.items():
        logger.warning("%s: %s is empty or unreadable in %d rows: NULL there", path, name, count)
    return [entries[image_id] for image_id in sorted(entries)]


def _read_cell(
    path: Path, number: int, row: Sequence[str], name: str, position: int
) -> str | int | None:
    """Read a cell of an entry list; None where it is optional and says nothing."""
    if name in _OPTIONAL:
        text = row[position].strip() if position < len(row) else ""
        readers = {"follow_up": _read_whole, "age_years": read_age}
        return readers[name](text) if name in readers else text or None
    text = read_cell(path, number, row, position)
    if name == "image_id":
        return Path(text).stem
    if name == "patient_id":
        return name_patient(text)
    return "|".join(name_finding(finding) for finding in text.split("|"))


def name_finding(text: str) -> str:
    """Name a finding as the entry list does, whichever of the published lists wrote it."""
    return _FINDING_NAMES.get(text, text)


def name_patient(text: str) -> str:
    """Name a patient: a number has no leading zeros, anything else is as it is."""
    return text.lstrip("0") or "0" if text.isdecimal() else text


def read_age(text: str) -> int | None:
    """Whole years of an age as label files write it.

    Parameters
    ----------
    text : str
        A number of years, or DICOM's age string: ``060Y``, ``013M``, ``002W``, ``001D``.

    Returns
    -------
    int or None
        Rounded down; None for what is no age.
    """
    match = re.fullmatch(r"([0-9]{1,6})(?:\.[0-9]+)?([YMWD]?)", text.upper())
    return None if match is None else int(int(match[1]) / _YEARS[match[2]])


def _read_whole(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None
