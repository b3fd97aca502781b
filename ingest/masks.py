"""Masks of structures in radiographs: label images, or the run lengths of CheXmask's CSV files.

CheXmask (Gaggion et al. 2024, doi:10.1038/s41597-024-03358-1; data doi:10.13026/dx54-8351) gives a
row for each image: its name, a run-length code each for left lung, right lung and heart, the size
they are of, and how good the segmentation is estimated to be. Its files under
``OriginalResolution`` are of the images as they were published. A file without sizes is refused:
nothing tells whether it is of the images or of padded copies.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.structures import CHEXMASK_STRUCTURES, LEAST_RCA
from upscale_audit.ingest.tables import read_cell, read_filled_rows

if TYPE_CHECKING:
    import numpy.typing as npt


MAX_MASK_BYTES = 1 << 34
"""Largest CSV of masks that is read: CheXmask's largest has a few GB."""

_IMAGES = ("imageindex", "imageid", "dicomid", "path", "imagename", "image", "filename", "file")
_REPAIR = "restore the line from the published file"
_SUFFIXES = (".png", ".tif", ".tiff")
_EXPECTED = (
    "expected one 8-bit channel of values: save the mask as a grey PNG or TIFF, without palette or"
    " alpha"
)
_OTHER_VALUES = {"bit_depth": "more than 8 bits a channel", "colour": "channels that differ"}


@dataclass(frozen=True)
class Mask:
    """One image's mask.

    Attributes
    ----------
    image_id : str
    status : str
        ``used``; ``low_rca``, ``empty`` or why it is refused where it gives no region.
    labels : (M, N) uint8 array or None
        0 where there is no structure, else its place in `Masks.structures`, from 1.
    file_name : str
    line_number : int or None
    dice_rca : float or None
    overlap_px : int
        Pixels that several structures claimed.
    """

    image_id: str
    status: str
    labels: npt.NDArray[np.uint8] | None = field(repr=False)
    file_name: str
    line_number: int | None = None
    dice_rca: float | None = None
    overlap_px: int = 0


def read_label_image(
    path: Path, labels: tuple[tuple[int, str], ...], max_image_px: int
) -> npt.NDArray[np.uint8]:
    """Read an image whose values are structures.

    Parameters
    ----------
    path : Path
    labels : tuple of (int, str)
        Of `Masks`.
    max_image_px : int

    Returns
    -------
    (M, N) uint8 array
        As `Mask` has it.

    Raises
    ------
    RejectedFileError
        No PNG or TIFF of one 8-bit channel; ``unknown_label`` where a value has no name.

    Notes
    -----
    A lossy code moves values by one or two, to those of other structures.
    """
    kind = path.suffix.lower()
    if kind not in _SUFFIXES:
        raise RejectedFileError("unsupported_suffix", f"{kind}; {_EXPECTED}")
    data = read_bytes(path, limit_bytes(max_image_px))
    try:
        image = decode_image(data, kind, max_image_px, "reject")
    except RejectedFileError as refused:
        # What repairs an image, a window or a rule for colour, makes no names of its values.
        code = refused.code
        if code not in _OTHER_VALUES:
            raise
        raise RejectedFileError(code, f"{_OTHER_VALUES[code]}; {_EXPECTED}") from None
    if image.facts.grey_rule != "none":
        raise RejectedFileError("colour_mode", f"mode {image.facts.colour_mode}; {_EXPECTED}")
    places = np.zeros(256, np.uint8)
    for place, (value, _) in enumerate(labels, start=1):
        places[value] = place
    found = np.flatnonzero(np.bincount(image.grey.ravel(), minlength=256))
    unknown = [int(value) for value in found if value and not places[value]]
    if unknown:
        raise RejectedFileError(
            "unknown_label",
            f"value {unknown[0]} has no name; add it to [regions] labels, or take it out",
        )
    given: npt.NDArray[np.uint8] = places[image.grey]
    return given


def read_chexmask(
    path: Path, images: Collection[str], min_rca: float = LEAST_RCA, max_image_px: int = 8192 * 8192
) -> Iterator[str | Mask]:
    """Read the masks of a study's images from a CSV in CheXmask's form, plain or gzip.

    Parameters
    ----------
    path : Path
    images : collection of str
        The study's; rows of others are not decoded.
    min_rca : float
    max_image_px : int
        Largest mask.

    Yields
    ------
    Mask or str
        The first cell of a row that is of no image of the study.

    Raises
    ------
    StudyError
        Unreadable file, a header without its columns, an image listed twice, a run that is none or
        leaves its image: with file, line and repair.

    Notes
    -----
    Run-length code, as ``DataPostprocessing/utils.py`` of github.com/ngaggion/CheXmask-Database
    writes it: pairs of a start s, from 1, and a length n, over the pixels row by row; pixel p, from
    0, is set where s - 1 <= p < s - 1 + n. Their decoder takes runs in any order and beyond the
    image; no encoder writes them, so they are errors here. A pixel that several structures claim is
    the first's, in the order of `CHEXMASK_STRUCTURES`: the heart lies before the lungs.
    """
    rows = read_filled_rows(path, max_bytes=MAX_MASK_BYTES, max_cells=None)
    _, names = next(rows)
    lines: dict[str, int] = {}
    columns = _read_header(path, names)
    for number, row in rows:
        name = read_cell(path, number, row, columns["image"])
        image_id = Path(name.replace("\\", "/")).stem
        if image_id not in images:
            yield name
            continue
        if image_id in lines:
            raise StudyError(
                f"{path} line {number}: {image_id} is listed in line {lines[image_id]} too; take"
                " one of the two out"
            )
        lines[image_id] = number
        yield _read_mask(path, number, row, columns, image_id, min_rca, max_image_px)


def _read_header(path: Path, names: Sequence[str]) -> dict[str, int]:
    header = [re.sub(r"[^a-z]", "", name.lower()) for name in names]
    wanted = {name: name for name in (*CHEXMASK_STRUCTURES.values(), "height", "width")}
    columns = {key: header.index(name) for key, name in wanted.items() if name in header}
    columns |= {"rca": header.index("dicercamean")} if "dicercamean" in header else {}
    image = next((header.index(name) for name in _IMAGES if name in header), None)
    missing = [name for name in wanted if name not in columns]
    if image is None or missing:
        lacking = ", ".join(missing) or "the image's name"
        raise StudyError(
            f"{path} is not a CSV of CheXmask's masks: no column for {lacking} among"
            f" {', '.join(names)[:160]}; give one of its files of OriginalResolution, which have"
            " Left Lung, Right Lung, Heart, Height and Width"
        )
    return columns | {"image": image}


def _read_mask(
    path: Path,
    number: int,
    row: Sequence[str],
    columns: Mapping[str, int],
    image_id: str,
    min_rca: float,
    max_image_px: int,
) -> Mask:
    """Read a row of the study's."""
    place: dict[str, Any] = {"image_id": image_id, "file_name": Path(path).name}
    place["line_number"] = number
    if "rca" in columns:
        place["dice_rca"] = _read_number(path, number, row, columns["rca"])
        if place["dice_rca"] < min_rca:
            return Mask(status="low_rca", labels=None, **place)
    shape = tuple(_read_side(path, number, row, columns[side]) for side in ("height", "width"))
    if shape[0] * shape[1] > max_image_px:
        raise StudyError(
            f"{path} line {number}: a mask of {shape[1]} x {shape[0]} px, more than max_image_px ="
            f" {max_image_px}; {_REPAIR}, or raise it in [parameters]"
        )
    labels, overlap_px = np.zeros(shape[0] * shape[1], np.uint8), 0
    structures = list(enumerate(CHEXMASK_STRUCTURES.items(), start=1))
    for code, (name, column) in structures:
        text = row[columns[column]] if columns[column] < len(row) else ""
        try:
            runs = decode_runs(text, labels.size)
        except ValueError as error:
            raise StudyError(f"{path} line {number}: {name}: {error}; {_REPAIR}") from None
        for begin, end in runs:
            part = labels[begin:end]
            taken = int(np.count_nonzero(part))
            overlap_px += taken
            part[part == 0] = code
    status = "used" if labels.any() else "empty"
    kept = labels.reshape(shape) if status == "used" else None
    return Mask(status=status, labels=kept, overlap_px=int(overlap_px), **place)


def decode_runs(text: str, pixel_count: int) -> npt.NDArray[np.int64]:
    """Decode a run-length code.

    Parameters
    ----------
    text : str
        Starts, from 1, and lengths in turn, separated by blanks; empty where there is nothing.
    pixel_count : int
        Pixels of the image, row by row.

    Returns
    -------
    (R, 2) int64 array
        Where each run begins and ends, from 0.

    Raises
    ------
    ValueError
        Tokens that are no whole numbers, an odd number of them, an empty run, one that begins
        before the one before it ends, one that leaves the image.
    """
    tokens = text.split()
    wrong = next((token for token in tokens if not re.fullmatch("[0-9]{1,10}", token)), None)
    if wrong is not None:
        raise ValueError(
            f"{wrong[:20]!r} is not the start or length of a run, a whole number from 1"
        )
    if len(tokens) % 2:
        raise ValueError(f"{len(tokens)} numbers; expected pairs of a start and a length")
    runs = np.array(tokens, np.int64).reshape(-1, 2)
    begins, lengths = runs[:, 0] - 1, runs[:, 1]
    ends = begins + lengths
    if runs.size and (runs.min() < 1 or (begins[1:] < ends[:-1]).any()):
        raise ValueError("a run is empty, or begins before the one before it ends")
    if runs.size and ends[-1] > pixel_count:
        raise ValueError(f"a run ends at pixel {ends[-1]} of {pixel_count}")
    return np.stack([begins, ends], axis=1)


def _read_number(path: Path, number: int, row: Sequence[str], position: int) -> float:
    text = read_cell(path, number, row, position)
    if not re.fullmatch(r"0(\.[0-9]+)?|1(\.0+[0-9]?)?|[0-9](\.[0-9]+)?[eE]-[0-9]+", text):
        raise StudyError(
            f"{path} line {number}: {text[:20]!r} is no Dice coefficient, 0 to 1; {_REPAIR}"
        )
    return min(float(text), 1.0)


def _read_side(path: Path, number: int, row: Sequence[str], position: int) -> int:
    text = read_cell(path, number, row, position)
    if not re.fullmatch(r"[1-9][0-9]{0,4}(\.0+)?", text):
        raise StudyError(
            f"{path} line {number}: {text[:20]!r} is no height or width of a mask in px; {_REPAIR}"
        )
    return int(float(text))
