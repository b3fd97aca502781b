"""Write marts as Parquet for papers: ordered by their grain, hashed, replaced as a whole.

Beside them go the published generator's own files, `warehouse.published_form`, and tables of
results for print, `warehouse.paper_tables`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import canonical_json, locked, sync
from upscale_audit.ingest.manifests import MANIFEST
from upscale_audit.ingest.plain_paths import plain_path
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


SPLIT_BY_MODEL = ("fct_blocks", "fct_block_states")
STATES_OF_LIMITS = "intermediate.int_block_states_exported"
"""`fct_block_states` of one model, whose limits are variables: the order of rows that no join moves
is kept."""

_PARQUET = "format parquet, compression zstd"
_MEASURES_PARQUET = f"{_PARQUET}, compression_level 1, dictionary_size_limit 4096"
"""Of `fct_blocks`: a column of more values than that gets no dictionary, for which a larger one
would be sought in vain. What this saves and costs is in docs/row-cost.md."""


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
    fresh = study.output / ".exports.next"
    with (
        locked(study.output, "ingest, build or export"),
        saying_database_errors(study.warehouse),
    ):
        _check_own(study, folder)
        checked = check_warehouse(study, check)
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            spill = plain_path(study.output / ".exports.spill")
            settings = {
                "threads": THREADS,
                "memory_limit": memory_limit(),
                "temp_directory": str(spill),
            }
            with open_warehouse(study.warehouse, plain_path(fresh), settings) as connection:
                grains = _select_tables(connection, tables)
                for number, (table, grain) in enumerate(grains.items(), start=1):
                    form = _find_form(connection, table, has_floats)
                    _export_table(connection, table, grain, fresh, form)
                    if progress is not None:
                        progress(number, len(grains), table)
                if tables is None:
                    write_published_form(connection, fresh / "published_form", labels)
                    write_paper_tables(connection, fresh / "tables")
                    _export_dictionary(connection, fresh / "dictionary", has_floats)
            files = _list_files(fresh)
            arguments = _list_arguments(tables, labels, has_floats)
            manifest = seal_exports(study, fresh, grains, files, arguments, checked)
            (study.output / EXPORTS_MANIFEST).unlink(missing_ok=True)
            replace_folder(fresh, folder)
            link_output(study, manifest, find_parent(study))
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(study.output / ".exports.spill", ignore_errors=True)
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


def _list_arguments(tables: Any, labels: str, has_floats: bool) -> list[Any]:
    """List what the command is given to export this again."""
    floats = ["--floats"] if has_floats else []
    if tables is not None:
        return floats + [argument for table in tables for argument in ("--table", table)]
    return floats + ([] if labels == "published" else ["--labels", labels])


def _select_tables(connection: duckdb.DuckDBPyConnection, wanted: Any) -> Any:
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


@dataclass(frozen=True)
class _Form:
    """How a table's columns are written: the select list, and options of COPY."""

    columns: str = "*"
    options: str = ""


_AS_STORED = _Form()


def _find_form(connection: duckdb.DuckDBPyConnection, table: str, has_floats: bool) -> _Form:
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
    return _Form(", ".join(columns), f", kv_metadata {{{listed}}}")


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
        _copy(connection, query, folder / name)
        target = folder / f"{name}.csv"
        place = quote_text(plain_path(target))
        connection.execute(f"copy ({query}) to {place} (format csv, header)")
        sync(target)


def _export_table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    grain: Sequence[str],
    folder: Path,
    form: _Form = _AS_STORED,
) -> None:
    order = ", ".join(quote_name(column) for column in grain)
    if table not in SPLIT_BY_MODEL:
        query = f"select {form.columns} from {quote_name(table)} order by {order}"
        _copy(connection, query, folder / table, _PARQUET + form.options)
        return
    has_states = table == "fct_block_states"
    stored = STATES_OF_LIMITS if has_states else quote_name(table)
    options = (_PARQUET if has_states else _MEASURES_PARQUET) + form.options
    models = connection.sql("select model_id from dim_models order by model_id").fetchall()
    for (model_id,) in models:
        _set_limits(connection, model_id)
        query = f"select {form.columns} from {stored} where model_id = {quote_text(model_id)}"
        if not _lies_in_order(connection, model_id):
            query += f" order by {order}"
        _copy(connection, query, folder / table / model_id, options)


def _set_limits(connection: duckdb.DuckDBPyConnection, model_id: str) -> None:
    """Let the session's variables hold a model's limits, as `STATES_OF_LIMITS` reads them."""
    chosen = f"from mart_limits where model_id = {quote_text(model_id)}"
    for name in connection.sql("select * from mart_limits limit 0").columns:
        column = quote_name(name)
        connection.execute(f"set variable {column} = (select {column} {chosen})")


def _lies_in_order(connection: duckdb.DuckDBPyConnection, model_id: str) -> bool:
    """Whether a model's blocks are stored in the order of their grain: most are, and need no sort.

    A copy of one table keeps its order, and so does one of what is computed row by row. Row numbers
    must rise with the place in raster order within an image, without gaps, and from image to image
    by name.
    """
    ((is_ordered,),) = connection.execute(
        """
        with placed as (
            select
                blocks.image_id,
                min(blocks.block_number - blocks.block_row * images.block_cols - blocks.block_col)
                    as low,
                max(blocks.block_number - blocks.block_row * images.block_cols - blocks.block_col)
                    as high,
                count(*) as block_count
            from intermediate.int_blocks_completed as blocks
            inner join dim_images as images on blocks.image_id = images.image_id
            where blocks.model_id = ?
            group by blocks.image_id
        ),
        followed as (
            select *, lag(low + block_count) over (order by image_id) as least_low
            from placed
        )
        select coalesce(bool_and(low = high and low >= coalesce(least_low, low)), true)
        from followed
        """,
        [model_id],
    ).fetchall()
    return bool(is_ordered)


def _copy(
    connection: duckdb.DuckDBPyConnection, query: str, stem: Path, options: str = _PARQUET
) -> None:
    path = stem.with_name(stem.name + ".parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    target = quote_text(plain_path(path))
    connection.execute(f"copy ({query}) to {target} ({options})")
    sync(path)


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
