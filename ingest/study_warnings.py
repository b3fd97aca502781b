"""What may make an honest study's numbers mean something else, from the facts of its files.

Nothing here is refused: a restorer may return its input, a film may be all black. But a model that
is compared with itself scores best of all, and a reader must know.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

K = TypeVar("K")
"""What rows are grouped by."""

_BOX_SENTENCES = {
    "clipped": "{count} of {total} finding boxes reach beyond their image: cut to it",
    "outside": "{count} of {total} finding boxes lie outside their image: left out",
    "empty": "{count} of {total} finding boxes have no area: left out",
    "duplicate": "{count} of {total} finding boxes are listed twice: counted once",
}


_MASK_SENTENCES = {
    "missing": "{count} of {total} images have no mask: they have no regions",
    "low_rca": "{count} of {total} images have a mask whose estimated Dice coefficient is below"
    " [regions] min_rca: they have no regions",
    "empty": "{count} of {total} images have a mask without any structure: they have no regions",
    "size_mismatch": "{count} of {total} images have a mask of another shape than theirs: they have"
    " no regions; give masks of the whole reference",
}


def find_warnings(
    tables: Mapping[str, Any],
    unknown_masks: Sequence[str] = (),
    sources: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Find what a reader of a study's numbers must know first.

    Parameters
    ----------
    tables : dict
        Rows of the raw tables ``source_files``, ``boxes`` and ``masks``, as lists of dict.
    unknown_masks : sequence of str
        Rows of the CSV of masks that are of no image of the study.
    sources : dict, optional
        Of a phantom study the image that each copy is of, by the copy's image_id.

    Returns
    -------
    list of dict
        Rows of `ingest.schema.WARNINGS`, sorted by key.

    Notes
    -----
    Two files are the same where the grey values measured are, whatever the bytes of the files.
    """
    files = tables["source_files"]
    restored = [row for row in files if row["role"] == "restored"]
    references = {
        row["image_id"]: row["grey_sha256"] for row in files if row["role"] == "reference"
    }
    rows = [
        *_compare_with_reference(restored, references),
        *_compare_restored(restored, references),
        *_compare_references(files, sources or {}),
        *_find_constants(files),
        *_count_boxes(tables["boxes"]),
        *_count_masks(tables["masks"], unknown_masks),
    ]
    return sorted(rows, key=lambda row: (row["warning"], row["subject"], row["other"]))


def _compare_with_reference(
    restored: Sequence[dict[str, Any]], references: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Find restored images that are the reference's own pixels."""
    for owner, rows in _group(restored, _own).items():
        same = [r["image_id"] for r in rows if r["grey_sha256"] == references.get(r["image_id"])]
        if same:
            text = (
                "{subject}: {count} of {total} images are the reference's own pixels ({example}):"
                " no restorer was at work there; check the model's folder"
            )
            yield _warn("same_as_reference", owner, same, len(rows), text)


def _compare_restored(
    restored: Sequence[dict[str, Any]], references: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Find the same pixels under two models, or on both paths of one; not the reference's again."""
    totals = Counter(map(_own, restored))
    same = defaultdict(list)
    for image_id, rows in _group(restored, lambda row: row["image_id"]).items():
        groups = _group(rows, lambda row: row["grey_sha256"])
        groups.pop(references.get(image_id), None)
        for group in groups.values():
            # Of many that are one, each is named with the first, and once more with its own path.
            first, *others = sorted(map(_own, group))
            pairs = {(first, other) for other in others}
            pairs |= {pair for pair in pairwise(others) if pair[0][0] == pair[1][0]}
            for pair in pairs:
                same[pair].append(image_id)
    for (first, second), images in same.items():
        total = min(totals[first], totals[second])
        if first[0] == second[0]:
            text = (
                "{subject} and {other}: {count} of {total} images are the same on both paths"
                " ({example}): test-time augmentation changed nothing, or one folder is named twice"
            )
            yield _warn("same_on_both_paths", first, images, total, text, second)
        else:
            text = (
                "{subject} and {other}: {count} of {total} images are the same ({example}): two"
                " models that are one count twice; check their folders"
            )
            yield _warn("same_as_other_model", first, images, total, text, second)


def _compare_references(
    files: Sequence[dict[str, Any]], sources: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Find one film under two names that are no copies of one image."""
    references = [row for row in files if row["role"] == "reference"]
    for group in _group(references, lambda row: row["grey_sha256"]).values():
        names = sorted({sources.get(row["image_id"], row["image_id"]) for row in group})
        if len(names) > 1:
            text = (
                "{count} of {total} references are one film ({names}): it counts {count} times;"
                " take out all but one"
            )
            shown = ", ".join(names[:3])
            row = _warn("same_reference", "reference", names, len(references), text, names=shown)
            yield row | {"other": names[0]}


def _find_constants(files: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Find images of one grey value."""
    for owner, rows in _group(files, _own).items():
        flat = [row for row in rows if row["lowest_dn"] == row["highest_dn"]]
        if flat:
            values = sorted({row["lowest_dn"] for row in flat})
            text = (
                "{subject}: {count} of {total} images are of one grey value ({values}; {example})"
            )
            names = {0: "0, all black", 255: "255, all white"}
            shown = ", ".join(str(names.get(value, value)) for value in values[:3])
            images = [row["image_id"] for row in flat]
            yield _warn("constant", owner, images, len(rows), text, values=shown)


def _count_boxes(boxes: Sequence[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Count boxes that are not used as they are listed, of those whose image is in the study."""
    boxes = [box for box in boxes if box["status"] != "no_reference"]
    images = [box["image_id"] for box in boxes]
    if boxes and boxes[0]["frame_rule"] == "derived" and boxes[0]["frame"] != "reference":
        text = (
            "{count} finding boxes are scaled to their references from {frame}, the frame that"
            " their numbers tell; state [labels] box_frame if they were drawn on others"
        )
        frame = boxes[0]["frame"]
        named = "shares of the image" if frame == "unit" else f"images of {frame} px"
        yield _warn("box_frame_derived", "boxes", images, len(boxes), text, frame=named)
    if boxes and boxes[0]["frame_rule"] == "assumed":
        text = (
            "{count} finding boxes are read as pixels of their references, which are not of the"
            " published 1024 x 1024 px; state [labels] box_frame to say where they were drawn"
        )
        yield _warn("box_frame_assumed", "boxes", images, len(boxes), text)
    for status, text in _BOX_SENTENCES.items():
        images = [box["image_id"] for box in boxes if box["status"] == status]
        if images:
            yield _warn(f"box_{status}", "boxes", images, len(boxes), text + " ({example})")


def _count_masks(
    masks: Sequence[dict[str, Any]], unknown: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Count images without regions, by why, and what of the masks was decided for them."""
    for status, text in _MASK_SENTENCES.items():
        images = [row["image_id"] for row in masks if row["status"] == status]
        if images:
            yield _warn(f"mask_{status}", "masks", images, len(masks), text + " ({example})")
    overlapping = [row["image_id"] for row in masks if row["overlap_px"]]
    if overlapping:
        text = (
            "{count} of {total} images have a mask that gives pixels to several structures"
            " ({example}): each counts for the heart, then for the left lung"
        )
        yield _warn("mask_overlap", "masks", overlapping, len(masks), text)
    # A published list has many other images; where some of the study lack a mask, names may differ.
    if unknown and any(row["status"] == "missing" for row in masks):
        total = len(unknown) + sum(row["line_number"] is not None for row in masks)
        text = (
            "{count} of {total} rows of masks are of no image of the study ({example}), and some of"
            " its images have none: check that they have the names of the list"
        )
        yield _warn("mask_no_reference", "masks", unknown, total, text)


def _own(row: Mapping[str, Any]) -> str | tuple[str, str]:
    """Name what a file belongs to: a model's path, or a role."""
    if row["role"] == "restored":
        return row["model_id"], row["inference_path"]
    found: str | tuple[str, str] = row["role"]
    return found


def _group(
    rows: Sequence[dict[str, Any]], key: Callable[[dict[str, Any]], K]
) -> dict[K, list[dict[str, Any]]]:
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _name(owner: str | tuple[str, str]) -> str:
    return owner if isinstance(owner, str) else "{} ({})".format(*owner)


def _warn(
    warning: str,
    owner: str | tuple[str, str],
    images: Sequence[str],
    total: int,
    text: str,
    other: tuple[str, str] | str | None = None,
    **words: str,
) -> dict[str, Any]:
    """Give a row of raw table `warnings`; `words` are what its sentence says beside the counts."""
    facts = words | {
        "subject": _name(owner),
        "other": "" if other is None else _name(other),
        "count": len(images),
        "total": total,
        "example": min(images),
    }
    model_id, inference_path = (None, None) if isinstance(owner, str) else owner
    return {
        "warning": warning,
        "subject": facts["subject"],
        "other": facts["other"],
        "model_id": model_id,
        "inference_path": inference_path,
        "item_count": facts["count"],
        "total_count": total,
        "example": facts["example"],
        "sentence": text.format(**facts),
    }
