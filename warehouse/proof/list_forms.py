"""The forms in which hash lists come, each read line by line: no more memory than its entries."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from upscale_audit.ingest.tables import BoundedLines

if TYPE_CHECKING:
    from itertools import chain, dropwhile


HEAD_LINES = 1000
"""Within which a list must show its form."""
ABSOLUTE = "absolute"
"""Refusal of a name that starts at a root or a drive."""

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_GNU = re.compile(r"(\\?)([0-9a-fA-F]{64})(?: [ *]|[ ]|\t+)(.+)")
_BSD = re.compile(r"(\\?)([A-Za-z0-9/-]+) ?\((.+)\) ?= ?([0-9a-fA-F]{32,128})")
_SHA256 = re.compile(r"SHA(-|2-)?256", re.IGNORECASE)
_NAME_HEADERS = ("file_name", "filename", "file", "name", "path", "filepath", "image", "image_id")
_DRIVE = re.compile(r"[A-Za-z]:")
_HASHDEEP, _COLUMNS = "%%%% HASHDEEP", "%%%% size,"
_SEVEN_ZIP = re.compile(r"(\S+) +Size +Name\s*")
_FIELD = re.compile(r"(Algorithm|Hash|Path) *: ?(.*)")
_TABLE = re.compile(r"Algorithm +Hash +Path\s*")
_ROW = re.compile(r"(\S+) +([0-9a-fA-F]{32,128}) +(\S.*)")
# What certutil says above a hash in English, German, French and Japanese.
_CERTUTIL = re.compile(
    r"SHA256 hash of (?:file )?(?P<en>.+):|SHA256-Hash (?:von|der Datei) (?P<de>.+):"
    r"|Hachage SHA256 (?:de|du fichier) (?P<fr>.+?) ?:|SHA256 .*\(対象 (?P<ja>.+)\):"
)
_ARMOUR = "-----BEGIN PGP "


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a hash list; `refusal` says why its name is not looked for.

    `is_bare` marks a name that was listed without its folder; `is_other` a hash by another
    algorithm, which is not compared.
    """

    name: str
    sha256: str | None
    refusal: str | None = None
    is_bare: bool = False
    is_other: bool = False


def read_entries(stream: IO[bytes], path: Path) -> Iterator[Entry]:
    """Read the entries of a list in whichever form it is.

    Parameters
    ----------
    stream : binary file
    path : Path
        For messages.

    Yields
    ------
    Entry

    Raises
    ------
    StudyError
        A line of more than a million characters.
    """
    kept = io.BufferedReader(_Kept(stream))
    encoding, errors = _find_encoding(kept.peek(3))
    text = io.TextIOWrapper(kept, encoding, errors, newline="")
    lines = _take_off_armour(_each(BoundedLines(text, path, "give a hash list")))
    head = list(itertools.islice(lines, HEAD_LINES))
    rest = itertools.chain(head, lines)
    shown = [line.rstrip("\r\n") for line in head]
    for is_form, read in _FORMS:
        if any(map(is_form, shown)):
            yield from read(rest)
            return
    yield from _read_csv(rest)


class _Kept(io.RawIOBase):
    """A stream that its text does not close: whoever opened it does."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream: Any = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        return self._stream.readinto(buffer)


def _find_encoding(mark: bytes) -> tuple[str, str]:
    if mark.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "replace"
    return "utf-8-sig", "backslashreplace"


def _each(lines: BoundedLines) -> Iterator[str]:
    """Each line as a row of its own."""
    for line in lines:
        lines.row_characters = 0
        yield line


def _take_off_armour(lines: Iterable[Any]) -> Iterator[str]:
    """Leave out what OpenPGP puts around a signed list."""
    is_header = is_signed = False
    for line in lines:
        if line.startswith(f"{_ARMOUR}SIGNATURE"):
            return
        if line.startswith(f"{_ARMOUR}SIGNED MESSAGE"):
            is_header = is_signed = True
        elif is_header:
            is_header = bool(line.strip())
        else:
            yield line.removeprefix("- ") if is_signed else line


def _parse_line(line: str) -> Entry | None:
    """Read a line of sha256sum or in BSD style; None where it is neither."""
    is_windows, line = line.endswith("\r\n"), line.rstrip("\r\n")
    if match := _GNU.fullmatch(line):
        mark, sha256, name = match.groups()
        name = name.removeprefix("*") if "\t" in line[64:67] else name
    elif match := _BSD.fullmatch(line.rstrip()):
        mark, algorithm, name, sha256 = match.groups()
        if not _SHA256.fullmatch(algorithm) or len(sha256) != 64:
            return _make_other(_unescape(name) if mark else name, algorithm)
    else:
        return None
    if mark:
        return _make_entry(_unescape(name), sha256)
    return _make_entry(_turn(name) if is_windows else name, sha256)


def _read_lines(lines: chain) -> Iterator[Entry]:
    for line in lines:
        if line.startswith("untrusted comment:"):  # of signify and minisign, above its signature
            next(lines, None)
        elif line.strip() and not line.startswith("#"):
            entry = _parse_line(line)
            yield entry or Entry(line.strip()[:200], None, "not a line of a hash list")


def _unescape(name: str) -> str:
    turned = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
    return re.sub(r"\\[\\nr]", lambda match: turned[match[0]], name)


def _turn(name: str) -> str:
    """Write a name of Windows with the separators of everyone else."""
    return name.replace("\\", "/")


def _read_hashdeep(lines: chain) -> Iterator[Entry]:
    """Read hashdeep's columns, whose last, the name, may hold commas."""
    columns: list[Any] = []
    for line in lines:
        line = line.rstrip("\r\n")
        if line.startswith("%%%%"):
            columns = line[5:].split(",") if line.startswith(_COLUMNS) else columns
        elif line.strip() and not line.startswith("##"):
            cells = line.split(",", max(0, len(columns) - 1))
            values = dict(zip(columns, cells, strict=False))
            sha256, name = values.get("sha256", ""), values.get("filename")
            if name is None or not _HEX.fullmatch(sha256):
                yield Entry(line[:200], None, "not a line of a hash list")
            else:
                yield _make_entry(_turn(name) if "\\" in name else name, sha256)


def _read_seven_zip(lines: chain) -> Iterator[Entry]:
    """Read the table that 7-Zip prints between its two rulers."""
    starts = None
    for line in lines:
        line = line.rstrip("\r\n")
        if re.fullmatch(r"-{8,}[- ]*", line):
            if starts is not None:
                return
            starts = [match.start() for match in re.finditer("-+", line)]
        elif starts is not None and _HEX.fullmatch(line[: starts[1]].strip()):
            name = line[starts[-1] :]
            yield _make_entry(_turn(name), line[: starts[1]].strip())


def _read_fields(lines: chain) -> Iterator[Entry]:
    """Read Get-FileHash as Format-List writes it; long values go on in the next line."""
    fields, last = {}, None
    for line in itertools.chain(lines, [""]):
        line = line.rstrip("\r\n")
        match = _FIELD.fullmatch(line)
        if match:
            last = match[1]
            fields[last] = match[2]
        elif line.strip() and last:
            fields[last] += line.strip()
        elif not line.strip() and "Path" in fields:
            yield _make_windows_entry(fields.get("Algorithm"), fields.get("Hash"), fields["Path"])
            fields, last = {}, None


def _read_rows(lines: chain) -> Iterator[Entry]:
    """Read Get-FileHash as Format-Table writes it, which cuts long names short."""
    for line in lines:
        match = _ROW.fullmatch(line.rstrip())
        if match is None:
            continue
        entry = _make_windows_entry(*match.groups())
        is_cut = entry.name.endswith(("...", "\N{HORIZONTAL ELLIPSIS}"))
        cut = "cut short by Format-Table: give Export-Csv or Format-List"
        yield replace(entry, refusal=cut) if is_cut else entry


def _read_certutil(lines: chain) -> Iterator[Entry]:
    """Read a name and, in the next line, its hash, which older versions write in pairs."""
    name = None
    for line in lines:
        line = line.strip()
        match = _CERTUTIL.fullmatch(line)
        if match:
            name = next(filter(None, match.groups()))
        elif name is not None and _HEX.fullmatch(line.replace(" ", "")):
            entry = _make_entry(_turn(name), line.replace(" ", ""))
            yield replace(entry, is_bare="/" not in entry.name)
            name = None


def _make_windows_entry(algorithm: str | None, sha256: str | None, name: str) -> Entry:
    if sha256 is None or not (_SHA256.fullmatch(algorithm or "") and _HEX.fullmatch(sha256)):
        return _make_other(_turn(name), algorithm)
    return _make_entry(_turn(name), sha256)


def _read_csv(lines: chain | dropwhile) -> Iterator[Entry]:
    """Read a CSV with a column of hashes and one of names, a line at a time."""
    lines = itertools.dropwhile(lambda line: line.startswith("#") or not line.strip(), lines)
    head = list(itertools.islice(lines, HEAD_LINES))
    text = "".join(head)[:65536]
    delimiter = max(",;\t|", key=text.count)
    rows = filter(any, (_split(line, delimiter) for line in itertools.chain(head, lines)))
    before = []
    for row in itertools.islice(rows, HEAD_LINES):
        before.append(row)
        if any(map(_HEX.fullmatch, row)):
            yield from _read_cells(before, rows, delimiter)
            return


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return [line.strip()]


def _read_cells(
    before: Sequence[list[str]], rows: Iterable[Any], delimiter: str
) -> Iterator[Entry]:
    """Read the rows before and after the first that has a hash, which ends `before`."""
    hashed = before[-1]
    hash_column = next(number for number, cell in enumerate(hashed) if _HEX.fullmatch(cell))
    header = [cell.lower() for cell in before[0]] if len(before) > 1 else []
    name_column = _find_name_column(header, hashed, hash_column)
    if name_column is None:
        return
    algorithm_column = header.index("algorithm") if "algorithm" in header else None
    for row in itertools.chain(before[1:] if header else before, rows):
        if len(row) <= max(hash_column, name_column):
            yield Entry(delimiter.join(row)[:200], None, "too few columns")
            continue
        name, sha256 = row[name_column], row[hash_column]
        if algorithm_column is not None and algorithm_column < len(row):
            yield _make_windows_entry(row[algorithm_column], sha256, name)
        elif not _HEX.fullmatch(sha256):
            yield Entry(name, None, "no SHA-256")
        else:
            yield _make_entry(_turn(name) if _DRIVE.match(name) else name, sha256)


def _find_name_column(header: Sequence[str], hashed: Sequence[str], hash_column: int) -> int | None:
    """Column of names: by its header, else the first text beside the hash."""
    for wanted in _NAME_HEADERS:
        if wanted in header and header.index(wanted) != hash_column:
            return header.index(wanted)
    others = [number for number in range(len(hashed)) if number != hash_column]
    texts = [n for n in others if hashed[n] and not re.fullmatch(r"[\d.]+", hashed[n])]
    return next(iter(texts or others), None)


def _make_entry(name: str, sha256: str) -> Entry:
    name = name.removeprefix("./")
    return Entry(name, sha256.lower(), find_refusal(name))


def _make_other(name: str, algorithm: str | None) -> Entry:
    name = name.removeprefix("./")
    return Entry(name, None, f"no SHA-256 but {algorithm or 'nothing'}", is_other=True)


def find_refusal(name: str) -> str | None:
    """Why a name is not safe to look for inside a folder; None where it is."""
    if not name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "empty, or holds control characters"
    if "\\" in name:
        return "holds a backslash"
    if name.startswith("/") or _DRIVE.match(name):
        return ABSOLUTE
    if {"", ".", ".."} & set(name.split("/")):
        return "leaves or bends its folder"
    return None


_FORMS = (
    (lambda line: line.startswith(_HASHDEEP), _read_hashdeep),
    (lambda line: (match := _SEVEN_ZIP.fullmatch(line)) and match[1] == "SHA256", _read_seven_zip),
    (lambda line: line.startswith("Algorithm") and _FIELD.fullmatch(line), _read_fields),
    (_TABLE.fullmatch, _read_rows),
    (_CERTUTIL.fullmatch, _read_certutil),
    (_parse_line, _read_lines),
)
"""What shows a form within the first lines, and what reads it; else it is CSV."""
