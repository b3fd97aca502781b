"""Writing so that a file is either whole or absent, and naming it by its bytes."""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from upscale_audit.ingest.errors import StudyError

_DEBRIS_FOLDERS = (
    "__MACOSX",
    "@eaDir",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
)
_DEBRIS_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")

_OUTPUT_REPAIRS = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some of the quota",
    errno.EFBIG: "raise the limit on a file's size (ulimit -f)",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EIO: "see that its disk, or the server behind it, answers",
    errno.ENOTCONN: "mount it again",
    errno.ESTALE: "mount it again",
    errno.ENAMETOOLONG: "give the image a shorter name",
    errno.EEXIST: "move the file that lies where a folder is to be",
    errno.ENOTDIR: "move the file that lies where a folder is to be",
}
MAX_NAME_BYTES = 255
"""Of a file's name, on the file systems in use."""


def open_regular(path: str | Path) -> io.BufferedReader:
    """Open a file for reading; anything else is an error at once: a pipe would never end.

    Parameters
    ----------
    path : Path

    Returns
    -------
    io.BufferedReader

    Raises
    ------
    OSError
        There is none, or it is a folder, a pipe, a socket or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, lower-case hex."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_json(value: object) -> str:
    """SHA-256 of a JSON value in its canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def canonical_json(value: object) -> str:
    """One text for one value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it into place.

    Notes
    -----
    A rename within a folder is atomic: readers see the old file or the whole new one. On
    any error the temporary file is removed and the old one stands.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    if len(os.fsencode(temporary.name)) > MAX_NAME_BYTES:
        temporary = path.with_name(f".{hash_json(to_text(path.name))[:32]}.tmp")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_text(name: str | Path) -> str:
    r"""Spell a file name as text; bytes that are not UTF-8 appear as ``\xNN``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def name_within(path: Path, folder: Path) -> str:
    """Name a file by its place in a folder, as text: sub-folders and all."""
    return to_text(Path(path).relative_to(folder).as_posix())


def walk_files(folder: Path, excluded: Iterable[Path] = ()) -> list[Path]:
    """List the files in a folder and below.

    Parameters
    ----------
    folder : Path
    excluded : iterable of Path
        Folders that are passed over where they lie below.

    Returns
    -------
    list of Path
        In order of their names, but hidden ones and what desktops leave (`_DEBRIS_FILES`, in
        lower case); of hidden folders, of links to folders and of the folders that desktops and
        archives leave (`_DEBRIS_FOLDERS`) nothing is listed.

    Raises
    ------
    OSError
        A folder cannot be listed.
    """
    passed = {os.path.realpath(place) for place in excluded}
    files = []

    def fail(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in _DEBRIS_FOLDERS
            and os.path.realpath(os.path.join(place, name)) not in passed
        ]
        files += [
            Path(place, name)
            for name in names
            if not name.startswith(".") and name.lower() not in _DEBRIS_FILES
        ]
    return sorted(files)


@contextlib.contextmanager
def locked(
    folder: Path, purpose: str, name: str = ".lock", setting: str = "[study] output"
) -> Iterator[None]:
    """Hold `folder` for one writer among those that use the lock `name`.

    `setting` is what names the folder, for the messages.

    Raises
    ------
    StudyError
        Another process holds it, or its file system has no locks.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StudyError(
            f"cannot write to {folder}: {error.strerror}; make it writable, or name another"
            f" folder as {setting}"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StudyError(
            f"another {purpose} holds {folder}; wait for it to end, then run this again"
        ) from None
    except OSError as error:
        raise StudyError(
            f"cannot lock {folder}: {error.strerror}; mount its file system with locks (flock), or"
            f" name a folder of another as {setting}"
        ) from None
    else:
        with writing(folder, setting):
            yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing(folder: Path, setting: str = "[study] output") -> Iterator[None]:
    """Say a full, limited, read-only or lost disk as what it is.

    Raises
    ------
    StudyError
        The operating system refused to write; what was finished before stands.
    """
    try:
        yield
    except OSError as error:
        repair = _OUTPUT_REPAIRS.get(error.errno or 0)
        if repair is None or error.errno is None:
            raise
        raise StudyError(
            f"cannot write to {error.filename or folder}: {os.strerror(error.errno)}; {repair}, or"
            f" name another folder as {setting}; then run this again: what is finished is kept"
        ) from None
