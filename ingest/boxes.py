"""Finding boxes: a list as its author wrote it, put into the pixels of the references.

A list does not say in which frame it counts. ChestX-ray8's counts in originals of 1024 x 1024 px,
others in their own originals or in shares of the image, some by two corners: each looks like the
other. The header decides how four numbers are read; the study file, or what is impossible
otherwise, decides the frame.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.labels import name_finding
from upscale_audit.ingest.tables import read_cell, read_filled_rows

PUBLISHED_FRAME = (1024, 1024)
"""Width and height of the images on which ChestX-ray8's boxes were drawn."""
SIDES = ("left_px", "top_px", "width_px", "height_px")
STATUSES = ("whole", "clipped", "outside", "empty", "duplicate", "no_reference")
USED_STATUSES = STATUSES[:2]

_SLACK_PX = 1.0
"""An edge may lie beyond its image by so much: authors round."""
_FEW, _MANY = 0.02, 0.2
"""Share of boxes beyond their image up to which each is a slip, and from which the frame is."""
_IMAGES = ("imageindex", "imageid", "imagename", "image", "filename", "file", "path")
_FINDINGS = ("findinglabel", "finding", "label", "classname", "class", "category")
_PUBLISHED = ("bboxx", "y", "w", "h")
_LAYOUTS = {
    _PUBLISHED: "size",
    ("x", "y", "w", "h"): "size",
    ("x", "y", "width", "height"): "size",
    ("left", "top", "width", "height"): "size",
    ("xmin", "ymin", "xmax", "ymax"): "corners",
    ("x1", "y1", "x2", "y2"): "corners",
    ("left", "top", "right", "bottom"): "corners",
    ("xcenter", "ycenter", "width", "height"): "centre",
    ("xcentre", "ycentre", "width", "height"): "centre",
}
_READ = {
    "size": lambda a, b, c, d: (a, b, c, d),
    "corners": lambda a, b, c, d: (a, b, c - a, d - b),
    "centre": lambda a, b, c, d: (a - c / 2, b - d / 2, c, d),
}


def read_boxes(path: str | Path) -> list[dict[str, Any]]:
    """Read a list of finding boxes (CSV, plain or gzip), in the frame in which it counts.

    Parameters
    ----------
    path : str or Path
        ``BBox_List_2017.csv``, or a list with columns for image, finding and four numbers that
        its header names: ``x, y, w, h``, ``x_min, y_min, x_max, y_max`` or
        ``x_center, y_center, width, height``, and the like.

    Returns
    -------
    list of dict
        Rows of `ingest.schema.BOXES` less frame and status, by image and order in the file, with
        ``is_published``, whether the header is ChestX-ray8's. ``Infiltrate`` is read as
        ``Infiltration``, the name in the entry list.

    Raises
    ------
    StudyError
        Unreadable file, a header that does not say how boxes are written, a coordinate that is no
        number.

    Notes
    -----
    A row without any of the four numbers is no box: lists name images without a finding so.
    """
    rows = read_filled_rows(path)
    _, names = next(rows)
    image, finding, layout, positions = _read_header(path, names)
    read = _READ[_LAYOUTS[layout]]
    counts: Counter[str] = Counter()
    boxes = []
    for number, row in rows:
        if len(row) > max(positions) and not any(row[place].strip() for place in positions):
            continue
        image_id = Path(read_cell(path, number, row, image)).stem
        given = [_number(path, number, read_cell(path, number, row, place)) for place in positions]
        boxes.append(
            {
                "image_id": image_id,
                "box_number": counts[image_id],
                "line_number": number,
                "finding": name_finding(read_cell(path, number, row, finding)),
                **dict(zip(SIDES, read(*given), strict=True)),
                "is_published": layout == _PUBLISHED,
            }
        )
        counts[image_id] += 1
    return sorted(boxes, key=lambda box: (box["image_id"], box["box_number"]))


def _read_header(
    path: str | Path, names: Sequence[str]
) -> tuple[int, int, tuple[str, str, str, str], list[int]]:
    """Find the columns of image, finding and box; how its numbers are read."""
    header: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        # ChestX-ray8's own "Bbox [x,y,w,h]" is four cells, or one where somebody quoted it.
        header += _PUBLISHED if plain == "bboxxywh" else [plain]
    image = next((header.index(name) for name in _IMAGES if name in header), None)
    finding = next((header.index(name) for name in _FINDINGS if name in header), None)
    layout = next((names for names in _LAYOUTS if set(names) <= set(header)), None)
    if image is None or finding is None or layout is None:
        raise StudyError(
            f"{path} is no list of finding boxes: its header is {', '.join(names)[:120]}; expected"
            " Image Index, Finding Label, Bbox [x,y,w,h], or columns image, finding and"
            " x, y, w, h or x_min, y_min, x_max, y_max or x_center, y_center, width, height"
        )
    return image, finding, layout, [header.index(name) for name in layout]


def _number(path: str | Path, number: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise StudyError(f"{path} line {number}: {text!r} is not a finite number")
    return value


def place_boxes(
    path: str | Path | None,
    boxes: Sequence[dict[str, Any]],
    sizes: Mapping[str, tuple[int, int]],
    frame: str | tuple[int, int] | None = None,
) -> list[dict[str, Any]]:
    """Put boxes into the pixels of their references.

    Parameters
    ----------
    path : str or Path
        For messages.
    boxes : list of dict
        Of `read_boxes`.
    sizes : dict
        Width and height of each reference, px, by image_id.
    frame : tuple or str, optional
        Width and height, px, of the images on which the boxes were drawn; ``reference`` where
        these are the references, ``unit`` where they are shares of the image. By default what the
        numbers tell.

    Returns
    -------
    list of dict
        Rows of `ingest.schema.BOXES`: cut to the image where they reach beyond it.

    Raises
    ------
    StudyError
        The numbers do not tell, or tell of corners under a header of sizes.
    """
    rule = "stated"
    if frame is None:
        known = [box for box in boxes if box["image_id"] in sizes and not _is_empty(box)]
        frame, rule = find_frame(path, known, sizes)
    placed, seen = [], set()
    for box in boxes:
        place = _place(box, sizes.get(box["image_id"]), frame)
        key = box["image_id"], box["finding"], *(box[side] for side in SIDES)
        if key in seen and place["status"] != "no_reference":
            place["status"] = "duplicate"
        seen.add(key)
        row = {name: value for name, value in box.items() if name != "is_published"}
        placed.append(row | {"frame": name_frame(frame), "frame_rule": rule} | place)
    return placed


def name_frame(frame: str | tuple[int, int]) -> str:
    """Name a frame in one word or as ``1024 x 1024``."""
    return frame if isinstance(frame, str) else "{} x {}".format(*frame)


def find_frame(
    path: str | Path | None, boxes: Sequence[dict[str, Any]], sizes: Mapping[str, Any]
) -> tuple[str | tuple[int, int], str]:
    """Tell in which frame boxes count, from what is impossible in the others.

    Parameters
    ----------
    path, boxes, sizes
        As of `place_boxes`; boxes with a reference, none empty.

    Returns
    -------
    frame : str or tuple
        As `place_boxes` takes it.
    rule : str
        ``derived`` where every other frame is impossible, ``assumed`` where one is not.

    Raises
    ------
    StudyError
        It cannot be told.
    """
    if not boxes:
        return "reference", "assumed"
    if all(abs(box[side]) <= 1 for box in boxes for side in SIDES):
        return "unit", "derived"
    beyond = [box for box in boxes if _reaches_beyond(box, sizes[box["image_id"]])]
    share = len(beyond) / len(boxes)
    is_published = boxes[0]["is_published"]
    is_native = all(sizes[box["image_id"]] == PUBLISHED_FRAME for box in boxes)
    if beyond and all(_reads_as_corners(box, sizes[box["image_id"]]) for box in boxes):
        raise StudyError(
            f"{path} line {beyond[0]['line_number']}: the box reaches beyond its image, and all"
            " boxes would fit as two corners; name the columns x_min, y_min, x_max, y_max if they"
            " are, or state [labels] box_frame"
        )
    if is_published and not is_native:
        if not beyond:
            return "reference", "assumed"
        if share >= _MANY and not any(_reaches_beyond(box, PUBLISHED_FRAME) for box in boxes):
            return PUBLISHED_FRAME, "derived"
    elif share <= _FEW or (is_published and is_native):
        return "reference", "derived"
    width, height = sizes[beyond[0]["image_id"]]
    raise StudyError(
        f"{path} line {beyond[0]['line_number']}: the box reaches beyond its reference of"
        f" {width}x{height} px, as {len(beyond)} of {len(boxes)} do, and nothing says on which"
        " images they were drawn; state [labels] box_frame = [width, height] of these in px,"
        ' "reference", or "unit" for shares'
    )


def _place(
    box: Mapping[str, Any], size: tuple[int, int] | None, frame: str | tuple[int, int]
) -> dict[str, Any]:
    """Give a box's sides in its reference's pixels, and what became of it."""
    if size is None:
        sides = {} if frame == "reference" else dict.fromkeys(SIDES)
        return sides | {"status": "no_reference"}
    width, height = size
    across, down = frame if isinstance(frame, tuple) else (1, 1) if frame == "unit" else size
    scale_x, scale_y = width / across, height / down
    left, wide = box["left_px"] * scale_x, box["width_px"] * scale_x
    top, high = box["top_px"] * scale_y, box["height_px"] * scale_y
    sides = dict(zip(SIDES, (left, top, wide, high), strict=True))
    if _is_empty(box):
        return sides | {"status": "empty"}
    if left >= width or top >= height or left + wide <= 0 or top + high <= 0:
        return sides | {"status": "outside"}
    if not _reaches_beyond(sides, size, 0):
        return sides | {"status": "whole"}
    right, bottom = min(left + wide, width), min(top + high, height)
    cut = max(left, 0), max(top, 0), right - max(left, 0), bottom - max(top, 0)
    status = "clipped" if _reaches_beyond(sides, size) else "whole"
    return dict(zip(SIDES, cut, strict=True)) | {"status": status}


def _is_empty(box: Mapping[str, Any]) -> bool:
    return bool(box["width_px"] <= 0 or box["height_px"] <= 0)


def _reaches_beyond(
    box: Mapping[str, Any], size: tuple[int, int], slack_px: float = _SLACK_PX
) -> bool:
    return bool(
        min(box["left_px"], box["top_px"]) < -slack_px
        or box["left_px"] + box["width_px"] > size[0] + slack_px
        or box["top_px"] + box["height_px"] > size[1] + slack_px
    )


def _reads_as_corners(box: Mapping[str, Any], size: tuple[int, int]) -> bool:
    """Whether a box's four numbers, read as sizes, would be two corners within its image."""
    left, top, right, bottom = (box[side] for side in SIDES)
    return bool(left < right <= size[0] and top < bottom <= size[1])
