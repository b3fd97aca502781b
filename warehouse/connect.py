"""DuckDB connections and the names that go into SQL.

Every connection is locked before its first query (`analysis.connection`): what a view, or a text
that slipped into SQL, can reach are the folders that the work needs, and no other file, no network
and no extension.
"""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb

from upscale_audit.analysis.connection import (
    OLDEST_READER,
    explain,
    is_locked,
    lock,
    open_published,
)
from upscale_audit.analysis.connection import quote_text as quote_text
from upscale_audit.ingest.errors import FEW_HANDLES, StudyError, says_few_handles
from upscale_audit.ingest.plain_paths import plain_path

THREADS = os.cpu_count() or 1
_DISK_REPAIRS = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some of the quota",
    errno.EFBIG: "raise the limit on a file's size (ulimit -f)",
}


def quote_name(value: str) -> str:
    """Quote a name as an SQL identifier."""
    return '"' + str(value).replace('"', '""') + '"'


def open_warehouse(
    path: str | Path, folder: Path | None = None, settings: dict[str, Any] | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a published warehouse read-only; any number of readers may.

    Parameters
    ----------
    path : str or Path
    folder : Path, optional
        Of a plain name: where this connection may write other files. By default nowhere.
    settings : dict, optional
        DuckDB's, by name.

    Returns
    -------
    duckdb.DuckDBPyConnection

    Raises
    ------
    StudyError
        There is no such file, or it is no DuckDB database.
    """
    path = Path(path)
    if not path.is_file():
        raise StudyError(f"no warehouse at {path}; run upscale-audit build first")
    try:
        return open_published(path, folder, settings)
    except duckdb.Error as error:
        raise StudyError(explain(path, error)) from None


@contextlib.contextmanager
def open_build(path: Path, folders: Iterable[Path] = ()) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open, or create, the database of a build for the time of a ``with`` block.

    Parameters
    ----------
    path : Path
    folders : iterable of Path
        Of plain names: where else this connection may read and write.

    Yields
    ------
    duckdb.DuckDBPyConnection

    Notes
    -----
    The file is of `OLDEST_READER`'s format, so that today's shells open it. Closing does not merge
    row groups, which would write a study's blocks again and again.
    """
    config: dict[str, Any] = {"max_vacuum_tasks": 0}
    if not Path(path).exists():
        config["storage_compatibility_version"] = f"v{OLDEST_READER}.0"
    with duckdb.connect(str(plain_path(path)), config=config) as connection:
        lock(connection, folders)
        yield connection


MORE_MEMORY = "give more by UPSCALE_AUDIT_MEMORY, as 16GB"
"""What repairs a query that ran out of memory."""


@contextlib.contextmanager
def saying_database_errors(path: Path) -> Iterator[None]:
    """Say in one line what DuckDB says of a full disk or memory, a locked or damaged file.

    Parameters
    ----------
    path : Path
        The database in use.

    Raises
    ------
    StudyError
        Names what repairs it.
    """
    repairs = {
        duckdb.OutOfMemoryException: MORE_MEMORY,
        duckdb.IOException: "see that there is space to write beside it; if there is, it is"
        " damaged: rebuild it with upscale-audit build",
    }
    try:
        yield
    except duckdb.Error as error:
        if is_locked(error):
            raise StudyError(explain(path, error)) from error
        check_disk(path, error)
        damaged = "it is damaged, or of another program: rebuild it with upscale-audit build"
        repair = next((text for kind, text in repairs.items() if isinstance(error, kind)), damaged)
        raise StudyError(f"{path}: {str(error).splitlines()[0]}; {repair}") from error


def check_disk(path: Path, error: BaseException | None, said: str = "") -> None:
    """Raise a full or limited disk, or too few file handles, as what it is; else return.

    Parameters
    ----------
    path : Path
        What was written.
    error : Exception or None
        With what caused it.
    said : str
        Further messages.

    Raises
    ------
    StudyError
    """
    if says_few_handles(error, said):
        raise StudyError(FEW_HANDLES) from error
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    numbers = {item.errno for item in seen if isinstance(item, OSError)}
    texts = "\n".join([said, *map(str, seen)])
    found = [n for n in _DISK_REPAIRS if n in numbers or os.strerror(n) in texts]
    # DuckDB's own bound for what it puts aside is nine tenths of what the disk has left.
    if not found and "max_temp_directory_size" in texts:
        found = [errno.ENOSPC]
    if not found:
        return
    raise StudyError(
        f"{path}: {os.strerror(found[0])}; {_DISK_REPAIRS[found[0]]}, or name another folder as"
        " [study] output; then run this again: the published warehouse is as it was"
    ) from (seen[0] if seen else None)


def memory_limit() -> str:
    """Memory DuckDB may take: UPSCALE_AUDIT_MEMORY, else half of the machine's, at most 7 GB."""
    if "UPSCALE_AUDIT_MEMORY" in os.environ:
        return os.environ["UPSCALE_AUDIT_MEMORY"]
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{max(1, min(7, physical // 2 // 10**9))}GB"


def remove_database(path: Path) -> None:
    """Remove a database that is not published, and its log, if there."""
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
