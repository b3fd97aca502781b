"""CSV files that others made, read row by row, plain or gzip: no more memory than what is kept.

A few kilobytes of gzip can hold more than any memory, and 250 MB of short lines as many cells as
take ten times that. So bytes and cells are counted while a file is read, and reading stops there.
"""

import contextlib
import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self, TextIO

from upscale_audit.ingest.errors import StudyError

MAX_TABLE_BYTES = 1 << 28
"""Largest label or result file that is read, packed or not: the largest known has 110 MB."""
MAX_CELLS = 1 << 23
"""Most cells of a label file; a blank line counts as one. The largest known has 5.8 million."""
MAX_ROW_CHARACTERS = 1 << 20

_GZIP, _ZIP, _LFS = b"\x1f\x8b", b"PK\x03\x04", b"version https://git-lfs"
_REPAIR = "give the published CSV or CSV.gz"


@contextlib.contextmanager
def open_table(path: str | Path, max_bytes: int = MAX_TABLE_BYTES) -> Iterator[BinaryIO]:
    """Open a CSV's bytes, unpacked where it is gzip.

    Parameters
    ----------
    path : str or Path
    max_bytes : int
        Most bytes that are read, packed or not.

    Yields
    ------
    io.BufferedReader

    Raises
    ------
    StudyError
        Unreadable, damaged, a zip, a Git LFS pointer, or larger than `max_bytes`, packed or
        unpacked.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(len(_LFS))
            file.seek(0)
            if head.startswith(_ZIP):
                raise StudyError(f"{path} is a zip archive: unpack it, and name the CSV in it")
            if head == _LFS:
                raise StudyError(
                    f"{path} is a Git LFS pointer and not the file it stands for: run git lfs pull"
                )
            is_packed = head.startswith(_GZIP)
            with gzip.open(file) if is_packed else file as stream:
                yield io.BufferedReader(_Bounded(stream, path, is_packed, max_bytes), 1 << 16)
    except (OSError, EOFError, zlib.error) as error:
        raise StudyError(f"cannot read {path}: {error}; {_REPAIR}") from None


class _Bounded(io.RawIOBase):
    """A stream that ends in an error where it would be too long."""

    def __init__(
        self, stream: io.BufferedIOBase, path: str | Path, is_packed: bool, max_bytes: int
    ) -> None:
        self._stream, self._path, self._left = stream, path, max_bytes
        self._most = max_bytes
        self._how = "unpacks to" if is_packed else "has"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise StudyError(
                f"{self._path} {self._how} more than {self._most >> 20} MiB; {_REPAIR}"
            )
        buffer[: len(data)] = data
        return len(data)


def read_rows(
    path: str | Path,
    encoding: str = "utf-8-sig",
    max_cells: int | None = MAX_CELLS,
    find_dialect: Callable[[str], str | None] | None = None,
    max_bytes: int = MAX_TABLE_BYTES,
) -> Iterator[tuple[int, list[str]]]:
    """Read a CSV row by row.

    Parameters
    ----------
    path : str or Path
    encoding : str
    max_cells : int or None
        Most cells in all; a blank line counts as one. None where no row is kept.
    find_dialect : callable, optional
        ``find_dialect(line)`` of the first line gives the delimiter that it announces, or None
        where it is a row like others.
    max_bytes : int
        As `open_table` takes it.

    Yields
    ------
    number : int
        Line at which the row starts, from 1.
    cells : list of str
        Of a row that is not blank.

    Raises
    ------
    StudyError
        As `open_table`; bytes of another encoding, quotes that do not close, a row of more than a
        million characters, too many cells.
    """
    with open_table(path, max_bytes) as stream:
        lines, number = BoundedLines(io.TextIOWrapper(stream, encoding, newline=""), path), 1
        try:
            first = next(lines, "")
            delimiter = None if find_dialect is None else find_dialect(first)
            rest = lines if delimiter else itertools.chain([first], lines)
            skipped = 1 if delimiter else 0
            number += skipped
            reader = csv.reader(rest, delimiter=delimiter or ",", strict=True)
            left = max_cells
            for cells in reader:
                left = None if left is None else left - (len(cells) or 1)
                if left is not None and left < 0:
                    raise StudyError(f"{path} has more than {max_cells} cells; {_REPAIR}")
                if any(cells):
                    yield number, cells
                number, lines.row_characters = reader.line_num + skipped + 1, 0
        except UnicodeDecodeError as error:
            raise StudyError(f"cannot read {path}: {error}; {_REPAIR}") from None
        except csv.Error as error:
            raise StudyError(
                f"cannot read {path} line {number}: {error}; restore the line, or {_REPAIR}"
            ) from None


def read_filled_rows(path: str | Path, **limits: Any) -> Iterator[tuple[int, list[str]]]:
    """Read a CSV's rows as `read_rows` does; an empty file is an error."""
    is_empty = True
    for row in read_rows(path, **limits):
        is_empty = False
        yield row
    if is_empty:
        raise StudyError(f"{path} is empty; {_REPAIR}")


def read_cell(path: str | Path, number: int, row: Sequence[str], position: int) -> str:
    """Give a cell's text without blanks around it; an empty or missing cell is an error."""
    if position >= len(row) or not row[position].strip():
        raise StudyError(f"{path} line {number}: column {position + 1} is empty")
    return row[position].strip()


class BoundedLines:
    """The lines of a text, none and no row of them beyond all bounds.

    Parameters
    ----------
    text : io.TextIOBase
    path : Path
        For messages.
    repair : str

    Attributes
    ----------
    count : int
        Lines so far.
    row_characters : int
        Of the row that is being read; whoever ends a row sets it to 0.
    """

    def __init__(self, text: TextIO, path: str | Path, repair: str = _REPAIR) -> None:
        self._text, self._path, self._repair = text, path, repair
        self.count = self.row_characters = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_ROW_CHARACTERS + 1)
        if not line:
            raise StopIteration
        self.count += 1
        self.row_characters += len(line)
        if self.row_characters > MAX_ROW_CHARACTERS:
            raise StudyError(
                f"{self._path} line {self.count}: a row of more than {MAX_ROW_CHARACTERS}"
                f" characters; {self._repair}"
            )
        return line
