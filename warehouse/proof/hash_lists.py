"""Check a folder or an archive against a hash list that someone published.

Nothing in a list is trusted: a name that could point outside the folder is refused and never
opened. `warehouse.proof.list_forms` reads the forms in which lists come.
"""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.documents import MAX_DOCUMENT_BYTES, parse_document, read_bounded
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, to_text
from upscale_audit.ingest.manifests import MANIFEST, SUMS, Manifest
from upscale_audit.warehouse.proof.hashing import hash_files, hash_stream
from upscale_audit.warehouse.proof.list_forms import ABSOLUTE, Entry, find_refusal, read_entries
from upscale_audit.warehouse.proof.verify import walk

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo


MAX_LIST_BYTES = 1 << 28
MAX_ENTRIES = 1_000_000
MAX_DIRECTORY_BYTES = 1 << 25
"""Of an archive's list of members: 32 MiB, which name 400,000 files or so."""
MAX_RATIO = 100
"""Members of an archive that are packed tighter, and large, are taken for bombs."""

STATUSES = ("matched", "mismatched", "renamed", "missing", "extra", "refused")

# What the zip module raises on damaged, encrypted, unknown or lying members.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, IndexError),
    *(RuntimeError, NotImplementedError, ValueError, OverflowError, struct.error),
)
_BAG = re.compile(r"(tag)?manifest-sha256\.txt")
_PAYLOAD = "data/"


@dataclass(frozen=True, slots=True)
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


def read_list(path: str | Path) -> list[Entry]:
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
        Unreadable, larger than 256 MiB or a million entries, or no hash in it.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise StudyError(f"cannot read {path}: not a regular file; give a hash list")
        if path.stat().st_size > MAX_LIST_BYTES:
            raise StudyError(f"{path} is larger than 256 MiB: give the hash list, not the files")
        with open(path, "rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            entries = _read_zip(path) if is_zip else _take(read_entries(file, path), path)
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror}; give a hash list") from None
    if not any(entry.sha256 for entry in entries):
        raise StudyError(
            f"{path} holds no SHA-256 hash; expected sha256sum text, BSD style, what Get-FileHash,"
            " certutil, 7-Zip or hashdeep print, a BagIt manifest, or CSV with a column of 64 hex"
            " digits and one of names, plain or in a zip"
        )
    if _BAG.fullmatch(path.name):
        entries = [_decode_bag_entry(entry) for entry in entries]
    return _refuse_repeated(_drop_other_algorithms(entries))


def _take(entries: Iterable[Any], path: Path) -> list[Entry]:
    """Entries as a list, which may be of a million and no more."""
    taken: list[Any] = []
    for entry in entries:
        if len(taken) == MAX_ENTRIES:
            raise StudyError(f"{path} has more than {MAX_ENTRIES} entries: check it in parts")
        taken.append(entry)
    return taken


def _decode_bag_entry(entry: Entry) -> Entry:
    """BagIt writes line ends and percent signs of names in percent encoding (RFC 8493, 2.1.3)."""
    turned = {"%25": "%", "%0D": "\r", "%0A": "\n"}
    pattern = re.compile("%25|%0D|%0A", re.IGNORECASE)
    name = pattern.sub(lambda match: turned[match[0].upper()], entry.name)
    return entry if entry.sha256 is None else Entry(name, entry.sha256, find_refusal(name))


def _drop_other_algorithms(entries: Sequence[Entry]) -> list[Entry]:
    """Leave out hashes by other algorithms of files that have a SHA-256 too."""
    named = {entry.name for entry in entries if entry.sha256}
    return [entry for entry in entries if not (entry.is_other and entry.name in named)]


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[ZipFile]:
    """Open a zip whose list of members is not beyond all bounds.

    Raises
    ------
    StudyError
        Unreadable, damaged, or with more members than memory should hold.
    """
    try:
        if _find_directory_bytes(path) > MAX_DIRECTORY_BYTES:
            raise StudyError(
                f"{path} has more members than can be checked at once: its list of them takes more"
                f" than {MAX_DIRECTORY_BYTES >> 20} MiB; unpack it and give the folder"
            )
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _DAMAGED as error:
        raise StudyError(
            f"cannot read the archive {path}: {error}; give a zip, or unpack the list"
        ) from None


def _find_directory_bytes(path: Path) -> int:
    """Bytes of a zip's central directory, as its last record says."""
    end, end64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q")
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 16) - end.size))
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < end.size:
            raise zipfile.BadZipFile("File is not a zip file")
        found = end.unpack_from(tail, at)[5]
        if found == 0xFFFFFFFF:
            at64 = tail.rfind(b"PK\x06\x06")
            if at64 < 0 or len(tail) - at64 < end64.size:
                raise zipfile.BadZipFile("Corrupt zip64 end of central directory")
            found = end64.unpack_from(tail, at64)[8]
    return int(found)


def _read_zip(path: Path) -> list[Entry]:
    """Read the one member of an archive that is a hash list, or the one at its top."""
    lists, left = {}, MAX_LIST_BYTES
    with open_archive(path) as archive:
        for info in archive.infolist():
            left -= info.file_size
            if left < 0:
                raise StudyError(f"{path} unpacks to more than 256 MiB: unpack the list")
            if not info.filename or info.filename.endswith("/"):
                continue
            with archive.open(info) as file, contextlib.suppress(StudyError):
                entries = _take(read_entries(file, path), path)
                if any(entry.sha256 for entry in entries):
                    lists[info.filename] = entries
    if len(lists) > 1:
        at_top = {name: entries for name, entries in lists.items() if "/" not in name}
        lists = at_top if len(at_top) == 1 else lists
    if len(lists) != 1:
        names = ", ".join(map(repr, sorted(lists))) or "none"
        raise StudyError(f"{path}: expected one hash list in the archive, found {names}; unpack it")
    return next(iter(lists.values()))


def _refuse_repeated(entries: Sequence[Entry]) -> list[Entry]:
    """Refuse all entries of a name with several hashes, and repetitions of one with one."""
    first: dict[Any, Any] = {}
    torn = set()
    for entry in entries:
        if first.setdefault(entry.name, entry.sha256) != entry.sha256:
            torn.add(entry.name)
    seen, kept = set(), []
    for entry in entries:
        refusal = entry.refusal
        if refusal is None and entry.name in torn:
            refusal = "listed with different hashes"
        elif refusal is None and entry.name in seen:
            refusal = "listed twice"
        seen.add(entry.name)
        kept.append(entry if refusal == entry.refusal else replace(entry, refusal=refusal))
    return kept


def place_entries(entries: Sequence[Entry], names: Collection[str]) -> list[Entry]:
    """Bring a list of absolute names to those of a folder, and leave bare ones to their hash.

    Parameters
    ----------
    entries : list of Entry
    names : collection of str
        What is in the folder.

    Returns
    -------
    list of Entry
        Where every name is absolute, as Get-FileHash writes them, what all have in common is
        taken off, or as much of it as finds most of the names in the folder.
    """
    absolute = [entry for entry in entries if entry.sha256 and entry.refusal == ABSOLUTE]
    if not absolute or len(absolute) < sum(entry.sha256 is not None for entry in entries):
        return list(entries)
    parts = [entry.name.split("/") for entry in absolute]
    shared = 0
    shortest = min(len(item) for item in parts)
    while shared < shortest - 1 and len({item[shared] for item in parts}) == 1:
        shared += 1
    found = {
        depth: sum("/".join(item[depth:]) in names for item in parts)
        for depth in range(1, shared + 1)
    }
    best = max(found, key=lambda depth: (found[depth], depth), default=0)
    if not best:
        return list(entries)
    return [
        _strip(entry, best) if entry.refusal == ABSOLUTE and entry.sha256 else entry
        for entry in entries
    ]


def _strip(entry: Entry, depth: int) -> Entry:
    name = "/".join(entry.name.split("/")[depth:])
    return Entry(name, entry.sha256, find_refusal(name))


def select_described(
    path: Path, entries: Sequence[Entry], hashes: Mapping[str, str], refused: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Leave out files that a list does not mean to name.

    Parameters
    ----------
    path : Path
        The list's.
    entries : list of Entry
    hashes, refused : dict
        As `hash_folder` gives them.

    Returns
    -------
    hashes, refused : dict
        Without the list itself and the manifest that signs it; of a bag's payload without its
        tag files; for a list of one file named after it, that file alone.
    """
    path, listed = Path(path), {entry.name for entry in entries}
    own = _hash_list_and_manifest(path)
    left_out = {name for name, found in hashes.items() if found in own} - listed
    if path.name == "manifest-sha256.txt":
        left_out |= {name for name in hashes if not name.startswith(_PAYLOAD)} - listed
    if len(entries) == 1 and path.name == f"{entries[0].name}.sha256":
        left_out |= {*hashes, *refused} - listed
    kept, kept_refused = (
        {name: value for name, value in item.items() if name not in left_out}
        for item in (hashes, refused)
    )
    return kept, kept_refused


def _hash_list_and_manifest(path: Path) -> set[str]:
    """SHA-256 of a list, and of the manifest beside it that signs it as each stage here does."""
    if zipfile.is_zipfile(path):
        with open_archive(path) as archive:
            members = {}
            for name in {SUMS, MANIFEST} & set(archive.namelist()):
                with archive.open(name) as file:
                    members[name] = file.read(MAX_DOCUMENT_BYTES)
        name, sha256 = SUMS, hashlib.sha256(members.get(SUMS, b"")).hexdigest()
        signed = members.get(MANIFEST, b"")
    else:
        name, sha256 = path.name, hash_file(path)
        try:
            signed = read_bounded(path.with_name(MANIFEST), MAX_DOCUMENT_BYTES)
        except (OSError, ValueError):
            signed = b""
    try:
        is_signed = parse_document(signed, Manifest)["files"].get(name) == sha256
    except ValueError:
        is_signed = False
    return {sha256, hashlib.sha256(signed).hexdigest()} if is_signed else {sha256}


def hash_folder(
    folder: Path, ignore: Path | None = None, progress: Callable[..., None] | None = None
) -> tuple[dict[str, str], dict[str, str]]:
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

    Raises
    ------
    StudyError
        There is no such folder.
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
    found = {name: sha256 for name, path in files.items() if (sha256 := hashes[path])}
    return found, refused


def hash_archive(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Hash a zip archive's members without unpacking it; results as `hash_folder`'s."""
    hashes: dict[Any, Any] = {}
    refused = {}
    with open_archive(path) as archive:
        for info in archive.infolist():
            name = info.filename
            if name.endswith("/"):
                continue
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
    return hashes, refused


def _refuse_member(info: ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind and not stat.S_ISREG(kind):
        return "a link, or no file: not followed"
    if info.file_size > max(MAX_LIST_BYTES, MAX_RATIO * info.compress_size):
        return f"unpacks to more than 256 MiB and {MAX_RATIO} times its size"
    return "encrypted" if info.flag_bits & 1 else None


def compare(
    entries: Sequence[Entry], hashes: Mapping[str, str], refused: Mapping[str, str]
) -> list[Comparison]:
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


def _compare_entry(
    entry: Entry,
    hashes: Mapping[str, str],
    refused: Mapping[str, Any],
    by_hash: dict[Any, Any],
    listed: set[str],
) -> Comparison:
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
    if entry.is_bare and found is None:
        placed = next((name for name in same if name.rpartition("/")[2] == entry.name), None)
        if placed is not None:
            detail = "listed by its name alone"
            return Comparison("matched", entry.name, expected, expected, placed, detail)
    if found is not None:
        return Comparison("mismatched", entry.name, expected, found, entry.name, also)
    if elsewhere is not None:
        return Comparison("renamed", entry.name, expected, expected, elsewhere, None)
    return Comparison("missing", entry.name, expected, None, None, also)
