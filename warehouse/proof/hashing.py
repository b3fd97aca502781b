"""Hash many files at once, every byte of each."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from upscale_audit.ingest.files import open_regular
from upscale_audit.warehouse.connect import THREADS

CHUNK_BYTES = 1 << 20
MEGABYTE = 1_000_000


def hash_files(
    paths: Iterable[Path], progress: Callable[..., None] | None = None
) -> dict[Path, str | None]:
    """SHA-256 of files, large ones first, as many at a time as there are cores.

    Parameters
    ----------
    paths : iterable of Path
    progress : callable, optional
        Called as ``progress(done, total, name)`` with megabytes, from one thread at a time.

    Returns
    -------
    dict
        Lower-case hex by path; None where the file cannot be read to its end.

    Notes
    -----
    SHA-256 runs outside Python's lock, so threads share the work; one file is never split.
    """
    sizes = {path: _find_size(path) for path in paths}
    order = sorted(sizes, key=lambda path: (-sizes[path], str(path)))
    meter = _Meter(sum(sizes.values()), progress)
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(order, pool.map(lambda path: _hash(path, meter), order), strict=True))


def hash_stream(
    file: IO[bytes] | io.BufferedIOBase, advance: Callable[..., Any] | None = None
) -> str:
    """SHA-256 of what is left of a binary stream, read in chunks."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        if advance is not None:
            advance(len(chunk))
    return digest.hexdigest()


def _find_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _hash(path: Path, meter: _Meter) -> str | None:
    try:
        with open_regular(path) as file:
            return hash_stream(file, lambda count: meter.advance(count, path.name))
    except OSError:
        return None


class _Meter:
    """Counts bytes over threads and says so a megabyte at a time."""

    def __init__(self, total: int, progress: Callable[..., None] | None) -> None:
        self.total, self.progress = total, progress
        self.done = self.said = 0
        self.lock = threading.Lock()

    def advance(self, count: int, name: str) -> None:
        if self.progress is None:
            return
        with self.lock:
            self.done += count
            if self.done - self.said >= MEGABYTE or self.done == self.total:
                self.said = self.done
                total = max(1, round(self.total / MEGABYTE))
                self.progress(max(1, min(total, round(self.done / MEGABYTE))), total, name)
