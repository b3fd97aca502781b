"""How a published warehouse is opened: for reading, and locked before its first query.

A view in a file of someone else may name any file of this machine, and so may a text that slipped
into SQL; neither reaches one.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb

from upscale_audit.ingest.plain_paths import plain_path

OLDEST_READER = "1.5"
"""The version of DuckDB whose format a warehouse has; older ones cannot read it."""
_NO_EXTENSIONS = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


def open_published(
    path: str | Path, folder: Path | None = None, settings: Mapping[str, str | int] | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a warehouse read-only; any number of readers may, in one process or many.

    Parameters
    ----------
    path : str or Path
    folder : Path, optional
        Of plain names, `ingest.plain_paths.plain_path`: where this connection may write other
        files. By default nowhere.
    settings : dict, optional
        DuckDB's, by name.

    Returns
    -------
    duckdb.DuckDBPyConnection

    Raises
    ------
    duckdb.Error
        The file is no DuckDB database, or damaged.

    Notes
    -----
    Attached to a database in memory, because DuckDB gives all who connect to one file in a process
    the same settings, and refuses who asks for others.
    """
    path = plain_path(path)
    config: dict[str, str | bool | int | float | list[str]] = {
        **_NO_EXTENSIONS,
        "temp_directory": f"{path}.tmp",
        **(settings or {}),
    }
    connection = duckdb.connect(config=config)
    try:
        connection.execute(f"attach {quote_text(path)} as warehouse (read_only, type duckdb)")
        connection.execute("use warehouse")
        lock(connection, [] if folder is None else [folder])
    except BaseException:
        connection.close()
        raise
    return connection


def explain(path: str | Path, error: BaseException) -> str:
    """Say in one line why a warehouse cannot be read, and what to do about it.

    Parameters
    ----------
    path : str or Path
    error : duckdb.Error

    Returns
    -------
    str
    """
    first_line = str(error).splitlines()[0]
    if is_locked(error):
        repair = "another program has it open for writing: close that, and run this again"
    elif "version number" in first_line:
        repair = (
            f"this is DuckDB {duckdb.__version__}, and the file is of a later one: install that, or"
            " rebuild it with upscale-audit build"
        )
    else:
        repair = (
            f"it is damaged, or no database of DuckDB {OLDEST_READER} or later: rebuild it with"
            " upscale-audit build"
        )
    return f"cannot open {path}: {first_line}; {repair}"


def is_locked(error: BaseException) -> bool:
    """Whether another process keeps a file for itself: it is whole, and only not to be had now."""
    return isinstance(error, duckdb.IOException) and "lock" in str(error).splitlines()[0].lower()


def lock(connection: duckdb.DuckDBPyConnection, folders: Iterable[Path] = ()) -> None:
    """Let a connection, for good, reach its own database and some folders, and nothing else.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    folders : iterable of Path
        Of plain names, `ingest.plain_paths.plain_path`: to read and write in.
    """
    allowed = ", ".join(quote_text(folder) for folder in folders)
    connection.execute(f"set allowed_directories = [{allowed}]")
    for name, value in _NO_EXTENSIONS.items():
        connection.execute(f"set {name} = {value}")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def quote_text(value: str | Path) -> str:
    """Quote a value as an SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"
