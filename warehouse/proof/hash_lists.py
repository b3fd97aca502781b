"""Check a folder or an archive against a hash list that someone published.

Lists come as ``sha256sum`` text, in BSD style, as CSV, or as one of these inside a zip. Nothing in
a list is trusted: a name that could point outside the folder is refused and never opened.
"""

import csv
import io
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import to_text
from upscale_audit.warehouse.proof.hashing import hash_files, hash_stream
from upscale_audit.warehouse.proof.verify import walk

MAX_LIST_BYTES = 1 << 28
MAX_RATIO = 100
"""Members of an archive that are packed tighter, and large, are taken for bombs."""

STATUSES = ("matched", "mismatched", "renamed", "missing", "extra", "refused")

# What the zip module raises on damaged, encrypted, unknown or lying members.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(RuntimeError, NotImplementedError, ValueError, OverflowError, struct.error),
)
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_GNU = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)")
_BSD = re.compile(r"(\\?)SHA(?:-|2-)?256 ?\((.+)\) ?= ?([0-9a-fA-F]{64})", re.IGNORECASE)
_NAME_HEADERS = ("file_name", "filename", "file", "name", "path", "filepath", "image", "image_id")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Entry:
    """One line of a hash list; `refusal` says why its name is not looked for."""

    name: str
    sha256: str | None
    refusal: str | None = None


@dataclass(frozen=True)
class Comparison:
    """What became of one entry or one file.

    Attributes
    ----------
    status : {"matched", "mismatched", "renamed", "missing", "extra", "refused"}
        A renamed entry has its bytes in the folder, under `found_name` only.
    """

    status: str
    name: str
    expected_sha256: str | None
    found_sha256: str | None
    found_name: str | None
    detail: str | None


def read_list(path):
    """Read a published hash list.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    list of Entry
        In the list's order; refused ones among them.

    Raises
    ------
    StudyError
        Unreadable, larger than 256 MiB, or no hash in it.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise StudyError(f"cannot read {path}: not a regular file; give a hash list")
        if path.stat().st_size > MAX_LIST_BYTES:
            raise StudyError(f"{path} is larger than 256 MiB: give the hash list, not the files")
        data = path.read_bytes()
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror}; give a hash list") from None
    entries = _read_zip(path) if data.startswith(b"PK\x03\x04") else parse_list(data)
    if not any(entry.sha256 for entry in entries):
        raise StudyError(
            f"{path} holds no SHA-256 hash; expected sha256sum text, BSD style, or CSV with a"
            " column of 64 hex digits and one of names, plain or in a zip"
        )
    return _refuse_repeated(entries)


def _read_zip(path):
    """Read the one member of an archive that is a hash list."""
    lists, left = {}, MAX_LIST_BYTES
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                left -= info.file_size
                if left < 0:
                    raise StudyError(f"{path} unpacks to more than 256 MiB: unpack the list")
                if info.is_dir():
                    continue
                with archive.open(info) as file:
                    entries = parse_list(file.read(info.file_size))
                if any(entry.sha256 for entry in entries):
                    lists[info.filename] = entries
    except _DAMAGED as error:
        raise StudyError(f"cannot read the archive {path}: {error}; unpack the list") from None
    if len(lists) != 1:
        names = ", ".join(map(repr, sorted(lists))) or "none"
        raise StudyError(f"{path}: expected one hash list in the archive, found {names}; unpack it")
    return next(iter(lists.values()))


def parse_list(data):
    """Parse a hash list's bytes; the form is found line by line, or by the CSV's columns."""
    text = _decode(data)
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()]
    lines = [line for line in lines if not line.startswith("#")]
    parsed = [_parse_line(line) for line in lines]
    if any(parsed):
        return [
            entry or Entry(line[:200], None, "not a line of a hash list")
            for entry, line in zip(parsed, lines, strict=True)
        ]
    return _parse_csv(text)


def _decode(data):
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    return data.decode("utf-8-sig", "backslashreplace")


def _parse_line(line):
    if match := _GNU.fullmatch(line):
        mark, sha256, name = match.groups()
    elif match := _BSD.fullmatch(line.rstrip()):
        mark, name, sha256 = match.groups()
    else:
        return None
    return _make_entry(_unescape(name) if mark else name, sha256)


def _unescape(name):
    turned = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
    return re.sub(r"\\[\\nr]", lambda match: turned[match[0]], name)


def _parse_csv(text):
    head = text[:65536]
    delimiter = max(",;\t|", key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        return []
    rows = [[cell.strip() for cell in row] for row in rows if any(row)]
    hashed = next((row for row in rows if any(map(_HEX.fullmatch, row))), None)
    if hashed is None:
        return []
    hash_column = next(number for number, cell in enumerate(hashed) if _HEX.fullmatch(cell))
    header = None if rows[0] is hashed else rows[0]
    name_column = _find_name_column(header, hashed, hash_column)
    if name_column is None:
        return []
    entries = []
    for row in rows[0 if header is None else 1 :]:
        if len(row) <= max(hash_column, name_column):
            entries.append(Entry(delimiter.join(row)[:200], None, "too few columns"))
        elif not _HEX.fullmatch(row[hash_column]):
            entries.append(Entry(row[name_column], None, "no SHA-256"))
        else:
            entries.append(_make_entry(row[name_column], row[hash_column]))
    return entries


def _find_name_column(header, hashed, hash_column):
    """Column of names: by its header, else the first text beside the hash."""
    names = [cell.lower() for cell in header or ()]
    for wanted in _NAME_HEADERS:
        if wanted in names and names.index(wanted) != hash_column:
            return names.index(wanted)
    others = [number for number in range(len(hashed)) if number != hash_column]
    texts = [n for n in others if hashed[n] and not re.fullmatch(r"[\d.]+", hashed[n])]
    return next(iter(texts or others), None)


def _make_entry(name, sha256):
    name = name.removeprefix("./")
    return Entry(name, sha256.lower(), find_refusal(name))


def find_refusal(name):
    """Why a name is not safe to look for inside a folder; None where it is."""
    if not name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "empty, or holds control characters"
    if "\\" in name:
        return "holds a backslash"
    if name.startswith("/") or _DRIVE.match(name):
        return "absolute"
    if {"", ".", ".."} & set(name.split("/")):
        return "leaves or bends its folder"
    return None


def _refuse_repeated(entries):
    """Refuse all entries of a name with several hashes, and repetitions of one with one."""
    hashes = defaultdict(set)
    for entry in entries:
        hashes[entry.name].add(entry.sha256)
    seen, kept = set(), []
    for entry in entries:
        refusal = entry.refusal
        if refusal is None and len(hashes[entry.name]) > 1:
            refusal = "listed with different hashes"
        elif refusal is None and entry.name in seen:
            refusal = "listed twice"
        seen.add(entry.name)
        kept.append(Entry(entry.name, entry.sha256, refusal))
    return kept


def hash_folder(folder, ignore=None, progress=None):
    """Hash a folder's files.

    Parameters
    ----------
    folder : Path
    ignore : Path, optional
        The list itself, where it lies in the folder.
    progress : callable, optional

    Returns
    -------
    hashes : dict
        SHA-256 by relative name.
    refused : dict
        Reason by name: links, which are not followed, and what cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StudyError(f"no folder at {folder}; give the folder that the list describes")
    files, refused = {}, {}
    for path in walk(folder):
        name = to_text(path.relative_to(folder).as_posix())
        if not stat.S_ISREG(path.lstat().st_mode):
            refused[name] = "a link, or no file: not followed"
        elif ignore is None or not path.samefile(ignore):
            files[name] = path
    hashes = hash_files(files.values(), progress)
    refused |= {name: "cannot be read" for name, path in files.items() if hashes[path] is None}
    return {name: hashes[path] for name, path in files.items() if hashes[path]}, refused


def hash_archive(path):
    """Hash a zip archive's members without unpacking it; results as `hash_folder`'s."""
    hashes, refused = {}, {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.is_dir():
                    continue
                name = info.filename
                reason = find_refusal(name) or _refuse_member(info)
                if name in hashes or name in refused:
                    reason = "twice in the archive"
                    hashes.pop(name, None)
                if reason is None:
                    try:
                        with archive.open(info) as file:
                            hashes[name] = hash_stream(file)
                    except _DAMAGED:
                        reason = "damaged, or packed in a way that cannot be read"
                if reason is not None:
                    refused[name] = reason
    except _DAMAGED as error:
        raise StudyError(f"cannot read the archive {path}: {error}; give a zip") from None
    return hashes, refused


def _refuse_member(info):
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind and not stat.S_ISREG(kind):
        return "a link, or no file: not followed"
    if info.file_size > max(MAX_LIST_BYTES, MAX_RATIO * info.compress_size):
        return f"unpacks to more than 256 MiB and {MAX_RATIO} times its size"
    return "encrypted" if info.flag_bits & 1 else None


def compare(entries, hashes, refused):
    """Compare a list with what is there, by name and by hash.

    Parameters
    ----------
    entries : list of Entry
    hashes : dict
        SHA-256 by name of the files that are there.
    refused : dict
        Reason by name of the files that were not read.

    Returns
    -------
    list of Comparison
        One per entry, then one per file that no entry accounts for.
    """
    by_hash = defaultdict(list)
    for name, sha256 in sorted(hashes.items()):
        by_hash[sha256].append(name)
    listed = {entry.name for entry in entries if entry.refusal is None}
    accounted, rows = set(), []
    for entry in entries:
        row = _compare_entry(entry, hashes, refused, by_hash, listed)
        accounted |= {row.found_name} if row.status != "refused" else set()
        rows.append(row)
    for name, sha256 in sorted(hashes.items()):
        if name not in accounted:
            rows.append(Comparison("extra", name, None, sha256, name, None))
    reported = {row.name for row in rows}
    for name, reason in sorted(refused.items()):
        if name not in reported:
            rows.append(Comparison("refused", name, None, None, name, reason))
    return rows


def _compare_entry(entry, hashes, refused, by_hash, listed):
    expected, same = entry.sha256, by_hash.get(entry.sha256, [])
    elsewhere = next((name for name in same if name not in listed), None)
    refusal = entry.refusal or refused.get(entry.name)
    if refusal is not None:
        detail = refusal if elsewhere is None else f"{refusal}; the bytes are in {elsewhere!r}"
        return Comparison("refused", entry.name, expected, None, elsewhere, detail)
    found = hashes.get(entry.name)
    if found == expected:
        return Comparison("matched", entry.name, expected, found, entry.name, None)
    also = None if not same else f"its bytes are in {same[0]!r}"
    if found is not None:
        return Comparison("mismatched", entry.name, expected, found, entry.name, also)
    if elsewhere is not None:
        return Comparison("renamed", entry.name, expected, expected, elsewhere, None)
    return Comparison("missing", entry.name, expected, None, None, also)
