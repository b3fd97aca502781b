"""How a published warehouse is opened: for reading, and locked before its first query.

A view in a file of someone else may name any file of this machine, and so may a text that slipped
into SQL; neither reaches one.
"""

import duckdb

from upscale_audit.ingest.plain_paths import plain_path

_NO_EXTENSIONS = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}


def open_published(path, folder=None, settings=None):
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
    config = _NO_EXTENSIONS | {"temp_directory": f"{path}.tmp"} | (settings or {})
    connection = duckdb.connect(config=config)
    try:
        connection.execute(f"attach {quote_text(path)} as warehouse (read_only, type duckdb)")
        connection.execute("use warehouse")
        lock(connection, [] if folder is None else [folder])
    except BaseException:
        connection.close()
        raise
    return connection


def lock(connection, folders=()):
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


def quote_text(value):
    """Quote a value as an SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"
