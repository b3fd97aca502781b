"""Write marts as Parquet for papers: ordered by their grain, hashed, replaced as a whole.

Beside them go the published generator's own files, `warehouse.published_form`, and tables of
results for print, `warehouse.paper_tables`.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import canonical_json, locked, sync
from upscale_audit.ingest.manifests import MANIFEST
from upscale_audit.ingest.plain_paths import plain_path
from upscale_audit.warehouse.block_files import (
    PARQUET,
    SPLIT_BY_MODEL,
    BlockTable,
    TableForm,
    copy_query,
    write_block_files,
)
from upscale_audit.warehouse.connect import (
    THREADS,
    memory_limit,
    open_warehouse,
    quote_name,
    quote_text,
    saying_database_errors,
)
from upscale_audit.warehouse.paper_tables import write_paper_tables
from upscale_audit.warehouse.proof.provenance import (
    EXPORTS_MANIFEST,
    check_warehouse,
    find_parent,
    link_output,
    seal_exports,
)
from upscale_audit.warehouse.published_form import write_published_form

if TYPE_CHECKING:
    import duckdb

    from upscale_audit.ingest.study import Study


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote."""

    folder: Path
    files: int
    bytes: int
    root: str


def export_tables(
    study: Study,
    tables: Sequence[str] | None = None,
    progress: Callable[..., None] | None = None,
    labels: str = "published",
    check: str = "hash",
    *,
    has_floats: bool = False,
) -> ExportReport:
    """Export a study's published tables.

    Parameters
    ----------
    study : ingest.study.Study
    tables : sequence of str, optional
        Names from ``dim_tables``; by default all of them, and ``published_form/``, ``tables/`` and
        ``dictionary/`` too.
    progress : callable, optional
        Called as ``progress(done, total, name)`` after each table.
    labels : {"published", "en", "ja"}
        Language of the pattern labels in ``published_form/``.
    check : {"hash", "skip", "built"}
        As `warehouse.proof.provenance.check_warehouse` takes it.
    has_floats : bool
        Whether DECIMAL columns are written as DOUBLE, which pandas and R read as numbers, and each
        Parquet file carries what its table and columns mean.

    Returns
    -------
    ExportReport

    Raises
    ------
    StudyError
        There is no warehouse, or no such table (the nearest names are listed).

    Notes
    -----
    ``exports/`` is replaced as a whole: what was exported before and is not asked for now
    is gone from it. Rows are ordered by the table's grain and each file is written by one
    ordered COPY, so the same inputs give the same bytes, whatever the bytes of the warehouse.
    ``SHA256SUMS`` is what ``sha256sum --check`` reads; ``manifest.json`` adds what they were made
    from, and ``exports.manifest.json`` beside the folder, written last, from which file.
    """
    folder = study.output / "exports"
    with (
        locked(study.output, "ingest, build or export"),
        saying_database_errors(study.warehouse),
        _emptied(study.output / ".exports.next", study.output / ".exports.spill") as (fresh, spill),
    ):
        _check_own(study, folder)
        checked = check_warehouse(study, check)
        written = _write_tables(
            study, tables, fresh, spill, labels, has_floats, progress or _say_nothing
        )
        files = _list_files(fresh)
        arguments = _list_arguments(tables, labels, has_floats)
        manifest = seal_exports(study, fresh, written, files, arguments, checked)
        (study.output / EXPORTS_MANIFEST).unlink(missing_ok=True)
        replace_folder(fresh, folder)
        link_output(study, manifest, find_parent(study))
    size = sum(manifest["bytes"][name] for name in files)
    return ExportReport(folder, len(files), size, manifest["merkle_root"])


def _check_own(study: Study, folder: Path) -> None:
    """Refuse to replace a folder of somebody's, which has nothing of what an export signs."""
    signed = (study.output / EXPORTS_MANIFEST, folder / MANIFEST, folder / "SHA256SUMS")
    is_empty = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not is_empty and not any(path.is_file() for path in signed):
        raise StudyError(
            f"{folder} is there, and no export wrote it, which replaces it as a whole: move it"
            " away, or name another folder as [study] output"
        )


def _say_nothing(done: int, total: int, name: str) -> None:
    """Take what a caller who asked for no progress would be told."""


@contextlib.contextmanager
def _emptied(*folders: Path) -> Iterator[Sequence[Path]]:
    """Remove what is in the way of some folders, and in the end what is left of them."""
    try:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        yield folders
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _write_tables(
    study: Study,
    wanted: Sequence[str] | None,
    folder: Path,
    spill: Path,
    labels: str,
    has_floats: bool,
    progress: Callable[..., None],
) -> list[str]:
    """Write the tables that are wanted, and the folders beside them where all are; their names."""
    settings = {
        "threads": THREADS,
        "memory_limit": memory_limit(),
        "temp_directory": str(plain_path(spill)),
    }
    with open_warehouse(study.warehouse, plain_path(folder), settings) as connection:
        grains = _select_tables(connection, wanted)
        forms = {table: _find_form(connection, table, has_floats) for table in grains}
        models = _list_models(connection)
        done = itertools.count(1)
        for table in grains:
            if table not in SPLIT_BY_MODEL:
                _write_table(connection, table, grains[table], forms[table], folder)
                progress(next(done), len(grains), table)
        if wanted is None:
            write_published_form(connection, folder / "published_form", labels)
            write_paper_tables(connection, folder / "tables")
            _export_dictionary(connection, folder / "dictionary", has_floats)
    split = [
        BlockTable(name, grains[name], forms[name]) for name in SPLIT_BY_MODEL if name in grains
    ]
    for table in write_block_files(study.warehouse, split, models, folder, spill):
        progress(next(done), len(grains), table)
    return list(grains)


def _list_arguments(tables: Sequence[str] | None, labels: str, has_floats: bool) -> list[str]:
    """List what the command is given to export this again."""
    floats = ["--floats"] if has_floats else []
    if tables is not None:
        return floats + [argument for table in tables for argument in ("--table", table)]
    return floats + ([] if labels == "published" else ["--labels", labels])


def _select_tables(
    connection: duckdb.DuckDBPyConnection, wanted: Sequence[str] | None
) -> dict[str, list[str]]:
    """Give the grain of each table that is wanted, by its name."""
    rows = connection.sql("select table_name, grain from dim_tables order by table_name").fetchall()
    grains = dict(rows)
    if wanted is None:
        return grains
    unknown = [name for name in wanted if name not in grains]
    if unknown:
        raise StudyError(
            f"no table {', '.join(map(repr, unknown))} in the warehouse; it has {', '.join(grains)}"
        )
    return {name: grains[name] for name in dict.fromkeys(wanted)}


_AS_STORED = TableForm()


def _find_form(connection: duckdb.DuckDBPyConnection, table: str, has_floats: bool) -> TableForm:
    """Give the form of a table; as it is stored but for ``--floats``."""
    if not has_floats:
        return _AS_STORED
    ((description, grain),) = connection.execute(
        "select description, array_to_string(grain, ', ') from dim_tables where table_name = ?",
        [table],
    ).fetchall()
    columns, meanings = [], {}
    query = f"{_query_columns(has_floats)} and table_name = ? order by column_number"
    for _, _, name, kind, meaning in connection.execute(query, [table]).fetchall():
        column = quote_name(name)
        columns.append(f"cast({column} as double) as {column}" if kind == "DOUBLE" else column)
        meanings[name] = meaning
    facts = {"description": description, "grain": grain, "columns": canonical_json(meanings)}
    listed = ", ".join(f"{name}: {quote_text(text)}" for name, text in facts.items())
    return TableForm(", ".join(columns), f", kv_metadata {{{listed}}}")


def _query_columns(has_floats: bool) -> str:
    """Query every column of the exported tables: its table, number, name, type and meaning."""
    kind = "case when data_type like 'DECIMAL%' then 'DOUBLE' else data_type end"
    return (
        "select table_name, column_index as column_number, column_name,"
        f" {kind if has_floats else 'data_type'} as data_type, comment as description"
        " from duckdb_columns() where schema_name = 'main' and not internal"
        " and table_name in (select table_name from dim_tables)"
    )


def _export_dictionary(
    connection: duckdb.DuckDBPyConnection, folder: Path, has_floats: bool
) -> None:
    """Write what every table and column means, as Parquet and as CSV."""
    queries = {
        "dim_tables": "select table_name, array_to_string(grain, ', ') as grain, description"
        " from dim_tables order by table_name",
        "dim_columns": f"{_query_columns(has_floats)} order by table_name, column_number",
    }
    for name, query in queries.items():
        copy_query(connection, query, folder / name)
        target = folder / f"{name}.csv"
        place = quote_text(plain_path(target))
        connection.execute(f"copy ({query}) to {place} (format csv, header)")
        sync(target)


def _write_table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    grain: Sequence[str],
    form: TableForm,
    folder: Path,
) -> None:
    order = ", ".join(quote_name(column) for column in grain)
    query = f"select {form.columns} from {quote_name(table)} order by {order}"
    copy_query(connection, query, folder / table, PARQUET + form.options)


def _list_models(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.sql("select model_id from dim_models order by model_id").fetchall()
    return [model_id for (model_id,) in rows]


def _list_files(folder: Path) -> list[str]:
    """Name every file of a folder, in order."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def replace_folder(fresh: Path, folder: Path) -> None:
    """Put a finished folder in another's place; the old one goes only when the new one is whole."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists() and not _exchange(fresh, folder):
        os.replace(folder, old)
    if not folder.exists():
        os.replace(fresh, folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(fresh: Path, folder: Path) -> bool:
    """Swap two folders in one step, so that neither name is ever missing; whether it could."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of Linux's <fcntl.h> and <linux/fs.h>
    if rename is None:
        return False
    return bool(rename(here, os.fsencode(fresh), here, os.fsencode(folder), exchange) == 0)
