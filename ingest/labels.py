"""ChestX-ray8's label files: findings and patients per image, and finding boxes."""

import math
import re
from pathlib import Path

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.tables import read_rows

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
_FINDING_NAMES = {"Infiltrate": "Infiltration"}


def read_entries(path):
    """Read ``Data_Entry_2017*.csv`` (plain or gzip).

    Returns
    -------
    list of dict
        Rows of `ingest.schema.LABELS`, sorted by image_id.

    Raises
    ------
    StudyError
        Unreadable file, missing column, a number that is none, an image listed twice.

    Notes
    -----
    Both published headers are read (``Follow-up #``, ``Patient Gender`` or ``Patient
    Sex``); their size and spacing columns hold commas inside brackets and are not needed.
    """
    rows = _read_rows(path)
    _, names = next(rows)
    header = [re.sub(r"[^a-z]", "", cell.lower()) for cell in names]
    index = {}
    for position, cell in enumerate(header):
        if cell in _ENTRY_COLUMNS:
            index.setdefault(_ENTRY_COLUMNS[cell], position)
    missing = sorted(set(_ENTRY_COLUMNS.values()) - set(index))
    if missing:
        raise StudyError(
            f"{path} is no ChestX-ray8 entry list: no column for {', '.join(missing)} among"
            f" {', '.join(names)}; expected Data_Entry_2017.csv or Data_Entry_2017_v2020.csv"
        )
    entries = {}
    for number, row in rows:
        entry = {name: _cell(path, number, row, position) for name, position in index.items()}
        entry["image_id"] = Path(entry["image_id"]).stem
        for name in ("follow_up", "age_years"):
            entry[name] = _integer(path, number, entry[name].rstrip("Y"))
        if entries.setdefault(entry["image_id"], entry) is not entry:
            raise StudyError(f"{path} line {number}: {entry['image_id']} is listed twice")
    return [entries[image_id] for image_id in sorted(entries)]


def read_boxes(path):
    """Read ``BBox_List_2017.csv`` (plain or gzip).

    Returns
    -------
    list of dict
        Rows of `ingest.schema.BOXES`, sorted by image and order in the file. ``Infiltrate``
        is read as ``Infiltration``, the name in the entry list.

    Raises
    ------
    StudyError
        Unreadable file, another header, a coordinate that is no number.
    """
    rows = _read_rows(path)
    _, names = next(rows)
    if [cell.strip() for cell in names[:2]] != ["Image Index", "Finding Label"]:
        raise StudyError(
            f"{path} is no ChestX-ray8 box list: its header starts {', '.join(names[:2])};"
            " expected Image Index, Finding Label, Bbox [x, y, w, h]"
        )
    counts, boxes = {}, []
    for number, row in rows:
        image_id = Path(_cell(path, number, row, 0)).stem
        left, top, width, height = (
            _number(path, number, _cell(path, number, row, position)) for position in range(2, 6)
        )
        finding = _cell(path, number, row, 1)
        boxes.append(
            {
                "image_id": image_id,
                "box_number": counts.setdefault(image_id, 0),
                "finding": _FINDING_NAMES.get(finding, finding),
                "left_px": left,
                "top_px": top,
                "width_px": width,
                "height_px": height,
            }
        )
        counts[image_id] += 1
    return sorted(boxes, key=lambda box: (box["image_id"], box["box_number"]))


def _read_rows(path):
    """Yield rows that are not blank, each with its line number; at least one."""
    is_empty = True
    for row in read_rows(path):
        is_empty = False
        yield row
    if is_empty:
        raise StudyError(f"{path} is empty; give the published CSV or CSV.gz")


def _cell(path, number, row, position):
    if position >= len(row) or not row[position].strip():
        raise StudyError(f"{path} line {number}: column {position + 1} is empty")
    return row[position].strip()


def _number(path, number, text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise StudyError(f"{path} line {number}: {text!r} is not a finite number")
    return value


def _integer(path, number, text):
    value = _number(path, number, text)
    if not value.is_integer() or abs(value) >= 2**31:
        raise StudyError(f"{path} line {number}: {text!r} is not a whole number of 32 bits")
    return int(value)
