"""Which region each block of a reference lies in: structures of masks, the body, the background.

A region is a fact of an image and its block, not of a model: it is stored once, a row of blocks in
a string, a character a block, so that any number of models read it for next to nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.masks import Mask, read_chexmask, read_label_image
from upscale_audit.ingest.schema import arrow_schema
from upscale_audit.ingest.units import identify

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.structures import Masks
    from upscale_audit.ingest.study import Study
    from upscale_audit.ingest.units import UnitManifest


BACKGROUND, BODY, FIRST_STRUCTURE = 0, 1, 2
"""Codes of regions; structures follow in their order."""
ZERO = 48
"""The character of 0: code and count of pixels are this and above."""

DARK_DN, FLAT_DN2 = 32, 25
"""A block is background where its mean and its variance are no greater, and it hangs together with
such blocks to the frame. [OWN]: looked at on 120 radiographs of ChestX-ray8, definitions E.13."""
FRAME_BLOCKS = 2
"""So many outermost rings are the frame: films often have a bright line there."""


def find_background(
    total: npt.NDArray[np.int64], total_sq: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Find what is black and flat and hangs together with the frame.

    Parameters
    ----------
    total, total_sq : (R, C) int array
        Sums of a whole block's 64 grey values and of their squares, dn and dn2.

    Returns
    -------
    (R, C) bool array

    Notes
    -----
    A block is a candidate where its mean is at most `DARK_DN` and its variance at most `FLAT_DN2`;
    exact, in whole numbers. Background are candidates in the outermost `FRAME_BLOCKS` rings and all
    that hang together with them by sides.
    """
    total, total_sq = total.astype(np.int64), total_sq.astype(np.int64)
    candidates = (total <= 64 * DARK_DN) & (64 * total_sq - total * total <= 4096 * FLAT_DN2)
    _, pieces = cv2.connectedComponents(candidates.view(np.uint8), connectivity=4)
    framed = pieces.copy()
    framed[FRAME_BLOCKS:-FRAME_BLOCKS, FRAME_BLOCKS:-FRAME_BLOCKS] = 0
    # Piece 0 is what is no candidate.
    return candidates & np.isin(pieces, framed)


def fits(shape: tuple[int, int], reference_shape: tuple[int, int]) -> bool:
    """Whether a mask has its reference's shape, at any size.

    Parameters
    ----------
    shape, reference_shape : (int, int)
        Height and width, px.

    Returns
    -------
    bool
        True where, brought to equal widths, heights differ by less than a pixel of the coarser.
    """
    (height, width), (rows, cols) = shape, reference_shape
    return abs(height * cols - width * rows) < max(width, cols)


def scale_labels(labels: npt.NDArray[np.uint8], shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Bring a mask to its reference's size by nearest neighbour.

    Parameters
    ----------
    labels : (M, N) uint8 array
    shape : (int, int)
        Rows R and columns C.

    Returns
    -------
    (R, C) uint8 array
        The pixel in row r is that of the mask in row ``floor((2 r + 1) M / (2 R))``, in which its
        middle lies; columns likewise.
    """
    if labels.shape == shape:
        return labels
    rows, cols = (
        (2 * np.arange(length) + 1) * own // (2 * length)
        for length, own in zip(shape, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, cols)]


def count_blocks(labels: npt.NDArray[np.uint8], structures: int) -> npt.NDArray[np.int64]:
    """Count each block's pixels of each structure.

    Parameters
    ----------
    labels : (M, N) uint8 array
        0 where there is none, else 1 to `structures`.
    structures : int

    Returns
    -------
    (1 + structures, ceil(M / 8), ceil(N / 8)) int64 array
        Px; of blocks cut by the frame what is there.
    """
    rows, cols = (-(-side // 8) for side in labels.shape)
    padded = np.full((8 * rows, 8 * cols), 255, np.uint8)
    padded[: labels.shape[0], : labels.shape[1]] = labels
    cells = padded.reshape(rows, 8, cols, 8)
    return np.stack([(cells == code).sum((1, 3)) for code in range(structures + 1)])


def choose_regions(
    counts: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Give each block the region that most of its pixels are of, as far as a mask tells.

    Parameters
    ----------
    counts : (1 + S, R, C) int array
        As `count_blocks` gives it.

    Returns
    -------
    codes : (R, C) uint8 array
        Of structures in their order from `FIRST_STRUCTURE`; `BODY` where most pixels are of none.
        Of equal counts the first structure's; none comes last.
    covered_px : (R, C) uint8 array
        Pixels of the block that are of its region, 1..64.
    """
    ordered = np.concatenate([counts[1:], counts[:1]])
    winner = ordered.argmax(0)
    codes = np.where(winner == len(counts) - 1, BODY, winner + FIRST_STRUCTURE)
    return codes.astype(np.uint8), ordered.max(0).astype(np.uint8)


def cover_with_body(shape: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Give what `choose_regions` gives of an image without any structure.

    Parameters
    ----------
    shape : (int, int)
        Height and width, px.

    Returns
    -------
    codes, covered_px : (R, C) uint8 array
    """
    sides = (np.minimum(8, side - np.arange(0, side, 8)) for side in shape)
    covered_px = np.outer(*sides).astype(np.uint8)
    return np.full(covered_px.shape, BODY, np.uint8), covered_px


def spell_rows(
    image_id: str, codes: npt.NDArray[np.uint8], covered_px: npt.NDArray[np.uint8]
) -> list[dict[str, Any]]:
    """Spell an image's regions as the rows of raw table `region_rows`.

    Parameters
    ----------
    image_id : str
    codes, covered_px : (R, C) uint8 array

    Returns
    -------
    list of dict
    """
    return [
        {"image_id": image_id, "block_row": row, "regions": region, "covered": covered}
        for row, (region, covered) in enumerate(zip(_spell(codes), _spell(covered_px), strict=True))
    ]


def _spell(numbers: npt.NDArray[np.uint8]) -> list[str]:
    return [(line + ZERO).tobytes().decode("ascii") for line in numbers.astype(np.uint8)]


def hash_rows(rows: Sequence[dict[str, Any]]) -> str:
    """SHA-256 of what `spell_rows` gives, whatever the image's name."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row['regions']} {row['covered']}\n".encode("ascii"))
    return digest.hexdigest()


def list_regions(masks: Masks | None) -> list[dict[str, Any]]:
    """List the rows of raw table `regions`.

    Parameters
    ----------
    masks : ingest.structures.Masks or None

    Returns
    -------
    list of dict
    """
    names = (
        ["background", "body"] if masks is None else ["background", "outside", *masks.structures]
    )
    return [{"region_code": code, "region": name} for code, name in enumerate(names)]


def find_regions(
    study: Study,
    images: Sequence[dict[str, Any]],
    manifests: Iterable[UnitManifest],
    mask_files: Mapping[str, tuple[Path, str]],
) -> tuple[dict[str, list[dict[str, Any]] | pa.Table], list[dict[str, Any]], list[str]]:
    """Find the region of every block of a study's references.

    Parameters
    ----------
    study : ingest.study.Study
    images : list of dict
        Rows of raw table `images`.
    manifests : list of dict
        The units', whose shards hold what the background is found by.
    mask_files : dict
        Path and name of the label image by image_id.

    Returns
    -------
    tables : dict
        Raw tables `regions`, `region_rows` and `masks`.
    rejects : list of dict
        Rows of raw table `rejects`: label images that are refused.
    unknown : list of str
        Images of the CSV that are not of the study.
    """
    shapes = {row["image_id"]: (row["height_px"], row["width_px"]) for row in images}
    facts, chosen, rejects, unknown = _choose_all(study, shapes, mask_files)
    batches, schema = {}, arrow_schema("region_rows")
    for image_id, total, total_sq in read_reference_sums(study.raw, manifests):
        fact = facts.get(image_id)
        if fact is None or image_id in batches or fact["status"] not in ("none_named", "used"):
            continue
        shape = shapes[image_id]
        is_masked = image_id in chosen
        codes, covered_px = chosen.pop(image_id) if is_masked else cover_with_body(shape)
        background = _spread(find_background(total, total_sq), codes.shape)
        codes[background & (codes == BODY)] = BACKGROUND
        rows = spell_rows(image_id, codes, covered_px)
        fact["regions_sha256"] = hash_rows(rows)
        batches[image_id] = pa.RecordBatch.from_pylist(rows, schema)
    tables = {
        "regions": list_regions(study.regions),
        "region_rows": pa.Table.from_batches([batches[name] for name in sorted(batches)], schema),
        "masks": [facts[name] for name in sorted(facts)],
    }
    return tables, rejects, unknown


def _spread(whole: npt.NDArray[np.bool_], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Give blocks that the frame cuts what their whole neighbours are."""
    rows, cols = (grid - own for grid, own in zip(shape, whole.shape, strict=True))
    return np.pad(whole, ((0, rows), (0, cols)), "edge")


def _choose_all(
    study: Study,
    shapes: Mapping[str, tuple[int, int]],
    mask_files: Mapping[str, tuple[Path, str]],
) -> tuple[
    dict[str, dict[str, str | float | None]],
    dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
    list[dict[str, Any]],
    list[str],
]:
    """Read the masks one by one: what each says of its image's blocks, and what became of it."""
    status = "none_named" if study.regions is None else "missing"
    facts = {image_id: _describe(image_id, status) for image_id in shapes}
    rejects, unknown, chosen = [], [], {}
    for item in _read_masks(study, shapes, mask_files):
        if isinstance(item, str):
            unknown.append(item)
            continue
        image_id, mask, refused = item
        if study.regions is not None and refused is None and mask.labels is not None:
            shape = mask.labels.shape
            if fits(shape, shapes[image_id]):
                labels = scale_labels(mask.labels, shapes[image_id])
                counts = count_blocks(labels, len(study.regions.structures))
                chosen[image_id] = choose_regions(counts)
            else:
                height, width = shapes[image_id]
                detail = f"{shape[1]}x{shape[0]} px of a reference of {width}x{height} px"
                refused = RejectedFileError("size_mismatch", detail)
        status = mask.status if refused is None else refused.code
        facts[image_id] = _describe(image_id, status, mask)
        if refused is not None and image_id in mask_files:
            rejects.append(_reject(mask_files[image_id], refused))
    return facts, chosen, rejects, unknown


def _read_masks(
    study: Study, images: Mapping[str, object], mask_files: Mapping[str, tuple[Path, str]]
) -> Iterator[str | tuple[str, Mask, RejectedFileError | None]]:
    """Yield an image's name, its mask, and why it is refused; of a row of no image its name."""
    masks, most_px = study.regions, study.ingest_parameters.max_image_px
    if masks is None:
        return
    if masks.chexmask is not None:
        for mask in read_chexmask(masks.chexmask, images, masks.min_rca, most_px):
            yield mask if isinstance(mask, str) else (mask.image_id, mask, None)
    for image_id in sorted(mask_files.keys() & images.keys()):
        path, name = mask_files[image_id]
        try:
            labels = read_label_image(path, masks.labels, most_px)
        except RejectedFileError as refused:
            yield image_id, Mask(image_id, refused.code, None, name), refused
        else:
            status = "used" if labels.any() else "empty"
            yield image_id, Mask(image_id, status, labels if status == "used" else None, name), None


def _reject(mask_file: tuple[Path, str], refused: RejectedFileError) -> dict[str, Any]:
    """Give a row of raw table `rejects`."""
    path, name = mask_file
    owner = {"role": "mask", "model_id": None, "inference_path": None, "file_name": name}
    return owner | {"reason": refused.code, "detail": refused.detail} | identify(path)


def _describe(
    image_id: str, status: str, mask: Mask | None = None
) -> dict[str, str | float | None]:
    """Give a row of raw table `masks`."""
    shape = (None, None) if mask is None or mask.labels is None else mask.labels.shape
    return {
        "image_id": image_id,
        "status": status,
        "file_name": None if mask is None else mask.file_name,
        "line_number": None if mask is None else mask.line_number,
        "dice_rca": None if mask is None else mask.dice_rca,
        "mask_width_px": shape[1],
        "mask_height_px": shape[0],
        "overlap_px": None if mask is None else mask.overlap_px,
        "regions_sha256": None,
    }


def read_reference_sums(
    raw: Path, manifests: Iterable[UnitManifest]
) -> Iterator[tuple[str, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Read the sums of references' blocks, of each image once, from one model's shard of a unit.

    Parameters
    ----------
    raw : Path
    manifests : list of dict
        The units'.

    Yields
    ------
    image_id : str
    total, total_sq : (M // 8, N // 8) int64 array
        Sums of grey values and of their squares, of whole blocks.
    """
    names = ["image_id", "block_col", "is_partial", "reference_sum", "reference_sum_sq"]
    seen: set[str] = set()
    for manifest in manifests:
        if not manifest["shards"] or seen.issuperset(manifest["images"]):
            continue
        table = pq.read_table(raw / manifest["shards"][0]["file"], columns=names, partitioning=None)
        is_whole = ~table["is_partial"].to_numpy()
        images = table["image_id"].combine_chunks().dictionary_encode()
        codes = images.indices.to_numpy()
        begins = np.flatnonzero(np.diff(codes, prepend=-1))
        for begin, end in zip(begins, [*begins[1:], len(codes)], strict=True):
            image_id = images.dictionary[int(codes[begin])].as_py()
            if image_id in seen:
                continue
            seen.add(image_id)
            chosen = np.flatnonzero(is_whole[begin:end]) + begin
            cols = int(table["block_col"].take(chosen).to_numpy().max()) + 1
            sums = (table[name].take(chosen).to_numpy() for name in names[3:])
            yield image_id, *(item.astype(np.int64).reshape(-1, cols) for item in sums)
