"""How many workers the memory holds: measured bytes a pixel, and what the machine has left."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_audit.ingest import dicom, jpeg, png, tiff, webp

if TYPE_CHECKING:
    from upscale_audit.ingest.study import IngestParameters


WORKER_BYTES = 300_000_000
"""A worker that has measured a tiny image, its libraries loaded."""

BLOCK_BYTES_PER_PX = 11
GREY_BYTES_PER_PX = 74
COLOUR_BYTES_PER_PX = 262
NETWORK_BYTES_PER_PX = 210
LR_BYTES_PER_PX = 12
"""Peak of a pair beyond that, as measured: without per-image metrics, with them (70 to 5 %), with
them in colour (250 to 5 %); and what LPIPS and LR images add. The spectra and filtered planes of a
reference stay for all models.
"""
SCAN_BYTES_PER_PX = 9
"""Spectra of a reference's patches, for each size of them."""

_RESERVE = 0.9
_HEAD_BYTES = 1 << 12
_LONG_HEAD_BYTES = 1 << 20
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/proc/self/cgroup")
_CGROUP_ROOT = Path("/sys/fs/cgroup")


def count_workers(cores: int, need_bytes: int, memory_bytes: int | None = None) -> int:
    """Count the workers that fit: one a core, or as many as the memory holds.

    Parameters
    ----------
    cores : int
    need_bytes : int
        Of the largest pair, `estimate_need`.
    memory_bytes : int, optional
        What all workers together may take. By default nine tenths of what `find_memory` says.

    Returns
    -------
    int
        At least 1.
    """
    if memory_bytes is None:
        found = find_memory()
        if found is None:
            return cores
        memory_bytes = int(found * _RESERVE)
    return max(1, min(cores, memory_bytes // need_bytes))


def estimate_need(
    paths: Iterable[Path],
    parameters: IngestParameters,
    has_network: bool = False,
    *,
    has_lr: bool = False,
    patch_sizes: int = 0,
) -> int:
    """Bytes that a worker takes at its peak, from the headers of the files it may meet.

    Parameters
    ----------
    paths : iterable of Path
        References and restored images; those without a readable header do not count.
    parameters : ingest.study.IngestParameters
    has_network : bool
        Whether LPIPS is measured.
    has_lr : bool
        Whether images are held against LR images.
    patch_sizes : int
        How many sizes of patches sFRC scans.

    Returns
    -------
    int
    """
    largest = 0
    for path in paths:
        pixels, is_colour = peek_size(path)
        if pixels > parameters.max_image_px:
            continue  # refused from its header
        rate = BLOCK_BYTES_PER_PX
        if parameters.image_metrics:
            rate = COLOUR_BYTES_PER_PX if is_colour else GREY_BYTES_PER_PX
            rate += NETWORK_BYTES_PER_PX if has_network else 0
        rate += LR_BYTES_PER_PX if has_lr else 0
        rate += SCAN_BYTES_PER_PX * patch_sizes
        largest = max(largest, pixels * rate)
    return WORKER_BYTES + largest


def peek_size(path: Path) -> tuple[int, bool]:
    """Pixels of an image file and whether it stores colours; (0, False) where unreadable."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never open
            return 0, False
        with open(path, "rb", buffering=0) as file:
            head = file.read(_HEAD_BYTES)
            if head.startswith(jpeg.SIGNATURE) and jpeg.find_frame(head) is None:
                head += file.read(_LONG_HEAD_BYTES)  # behind long metadata
            if head.startswith(dicom.MAGIC, dicom.MAGIC_AT):
                return dicom.peek_size(head + file.read(_LONG_HEAD_BYTES)), False
            if head[:4] in tiff.SIGNATURES:
                return tiff.peek_size(file, head)
    except OSError:
        return 0, False
    if head.startswith(png.SIGNATURE) and len(head) >= 33:
        width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
        return width * height, head[25] in (png.RGB, png.PALETTE, png.RGBA)
    if head.startswith(jpeg.SIGNATURE) and (frame := jpeg.find_frame(head)) is not None:
        width, height, components = frame
        return width * height, components > 1
    if head.startswith(webp.SIGNATURE):
        return webp.peek_size(head), True
    return 0, False


def find_memory() -> int | None:
    """Bytes that this process and its children may still take.

    Returns
    -------
    int or None
        The least of what the machine has available and what the limits of its control groups
        (containers, batch systems) leave; None where neither can be read.
    """
    left = [*_read_available(), *_read_groups()]
    return min(left, default=None)


def _read_available() -> Iterator[int]:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _read_groups() -> Iterator[int]:
    """Yield what each control group above this process leaves, of either version."""
    try:
        lines = _CGROUP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            root, limit, used = _CGROUP_ROOT, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit = _CGROUP_ROOT / "memory", "memory.limit_in_bytes"
            used = "memory.usage_in_bytes"
        else:
            continue
        folder = root / name.lstrip("/")
        for place in (folder, *folder.parents):
            if place.is_relative_to(root):
                yield from _read_group(place, limit, used)


def _read_group(folder: Path, limit: str, used: str) -> Iterator[int]:
    try:
        most = (folder / limit).read_text().strip()
        taken = int((folder / used).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return
    if most != "max":
        cached = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
        yield max(0, int(most) - taken + cached)  # pages of files give way
