"""What a build that was killed has left for the next one to go on from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, write_text
from upscale_audit.warehouse.connect import open_build, open_warehouse

NOTE = "unfinished.json"
"""In dbt's folder while a build from nothing runs: which build it is, and what it has counted."""


@dataclass(frozen=True)
class Interrupted:
    """Work that stands.

    Attributes
    ----------
    tables : tuple of str
        Tables that are whole: dbt commits each as one.
    counts : dict or None
        ``tables`` and ``tests`` of the finished build; None where dbt had not ended.
    database_sha256 : str or None
        Of the finished build's file, which is as it was left.
    """

    tables: tuple[str, ...] = ()
    counts: dict[str, int] | None = None
    database_sha256: str | None = None


def note_build(
    folder: Path,
    recipe_sha256: str,
    counts: Mapping[str, int] | None = None,
    database_sha256: str | None = None,
) -> None:
    """Note, durably, that a build is under way, or that only its publication is left.

    Parameters
    ----------
    folder : Path
        Of dbt's artefacts.
    recipe_sha256 : str
    counts : dict, optional
    database_sha256 : str, optional
        As in `Interrupted`.
    """
    note = {
        "recipe_sha256": recipe_sha256,
        "counts": counts,
        "database_sha256": database_sha256,
    }
    write_text(folder / NOTE, json.dumps(note) + "\n")


def find_interrupted(folder: Path, database: Path, recipe_sha256: str) -> Interrupted | None:
    """Find what an interrupted build of the same recipe has left; its raw schema is dropped.

    Parameters
    ----------
    folder, database : Path
    recipe_sha256 : str

    Returns
    -------
    Interrupted or None
        None where there is nothing, where it cannot be read, where anything that decides a table
        has changed since, or where a finished file is not as it was left. Nothing says what a
        half-made one was: DuckDB's checksums find damage in it, not a forgery.
    """
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        if note["recipe_sha256"] != recipe_sha256 or not database.is_file():
            return None
        if note["counts"] is not None:
            sha256 = hash_file(database)
            if sha256 != note["database_sha256"]:
                return None
            found = Interrupted(counts=note["counts"], database_sha256=sha256)
            with open_warehouse(database) as connection:
                return _check(connection, "dim_study", recipe_sha256, found)
        with open_build(database) as connection:
            tables = _list_tables(connection)
            left = _check(connection, "raw.study", recipe_sha256, Interrupted(tables))
            connection.execute("drop schema raw cascade")
            return left
    except (StudyError, OSError, ValueError, TypeError, KeyError, duckdb.Error):
        return None


def _check(
    connection: duckdb.DuckDBPyConnection, table: str, recipe_sha256: str, found: Interrupted
) -> Interrupted | None:
    rows = connection.sql(f"select build_recipe_sha256 from {table}").fetchall()
    return found if rows == [(recipe_sha256,)] else None


def _list_tables(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    rows = connection.sql(
        "select table_name from information_schema.tables where table_type = 'BASE TABLE'"
        " and table_schema in ('main', 'intermediate')"
        # These become arguments of dbt: a name of any other kind was not given by it.
        " and regexp_full_match(table_name, '[a-z0-9_]+')"
        " and not suffix(table_name, '__dbt_tmp') and not suffix(table_name, '__dbt_backup')"
        " order by table_name"
    ).fetchall()
    return tuple(name for (name,) in rows)
