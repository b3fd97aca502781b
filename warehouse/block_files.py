"""Write the tables of blocks as Parquet: a file a model, ordered by the grain, several at a time.

Two COPYs of one thread each cost a fifth less CPU than two in turn of two threads each
(docs/row-cost.md), so each writer is a database of its own with its share of threads and memory.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.files import sync
from upscale_audit.ingest.plain_paths import plain_path
from upscale_audit.warehouse.connect import (
    THREADS,
    memory_limit,
    open_warehouse,
    quote_name,
    quote_text,
)

if TYPE_CHECKING:
    import duckdb

SPLIT_BY_MODEL = ("fct_blocks", "fct_block_states")
STATES_OF_LIMITS = "intermediate.int_block_states_exported"
"""`fct_block_states` of one model, whose limits are variables: the order of rows that no join moves
is kept. Names in it, as that of the model, are of an ENUM: in a file they are text, which DuckDB
need not seek in the column's dictionary for each row."""

PARQUET = "format parquet, compression zstd"
_MEASURES_PARQUET = f"{PARQUET}, compression_level 1, dictionary_size_limit 4096"
"""Of `fct_blocks`: a column of more values than that gets no dictionary, for which a larger one
would be sought in vain. What this saves and costs is in docs/row-cost.md."""
_PAUSE_S = 0.05
"""Between two interrupts of writers that are still at work."""


@dataclass(frozen=True)
class TableForm:
    """How a table's columns are written: the select list, and options of COPY."""

    columns: str = "*"
    options: str = ""


@dataclass(frozen=True)
class BlockTable:
    """A table of blocks: its name, the columns of its grain, and how it is written."""

    name: str
    grain: Sequence[str]
    form: TableForm = TableForm()


def copy_query(
    connection: duckdb.DuckDBPyConnection, query: str, stem: Path, options: str = PARQUET
) -> None:
    """Write what a query gives into a Parquet file.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    query : str
    stem : Path
        The file, without ``.parquet``; its folder is made.
    options : str
        Of COPY.
    """
    path = stem.with_name(stem.name + ".parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    target = quote_text(plain_path(path))
    connection.execute(f"copy ({query}) to {target} ({options})")
    sync(path)


def write_block_files(
    warehouse: Path, tables: Sequence[BlockTable], models: Sequence[str], folder: Path, spill: Path
) -> Iterator[str]:
    """Write every model's file of some tables of blocks, as many at a time as there are cores.

    Parameters
    ----------
    warehouse : Path
    tables : sequence of BlockTable
    models : sequence of str
    folder : Path
        Receives a folder a table.
    spill : Path
        Where DuckDB puts aside what memory does not hold.

    Yields
    ------
    str
        The name of a table whose files are all written.
    """
    with _open_writers(warehouse, folder, spill, len(tables) * len(models)) as submit:
        ordered = {model_id: submit(lies_in_order, model_id) for model_id in models}
        written = {
            table.name: [
                submit(_write_file, table, model_id, ordered[model_id], folder)
                for model_id in models
            ]
            for table in tables
        }
        for name, files in written.items():
            for file in files:
                file.result()
            yield name


@contextlib.contextmanager
def _open_writers(
    warehouse: Path, folder: Path, spill: Path, most: int
) -> Iterator[Callable[..., Future[Any]]]:
    """Give a function that has one of several writers call another, with its connection first.

    What is submitted is begun in that order. All that is left undone when the block is left by an
    error is interrupted.
    """
    count = max(1, min(THREADS, most))
    share = {
        "threads": max(1, THREADS // count),
        "memory_limit": divide_memory(memory_limit(), count),
    }
    with contextlib.ExitStack() as stack:
        connections = []
        for number in range(count):
            settings = share | {"temp_directory": str(plain_path(spill / str(number)))}
            connection = open_warehouse(warehouse, plain_path(folder), settings)
            connections.append(stack.enter_context(connection))
        idle: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()
        for connection in connections:
            idle.put(connection)

        def call(action: Callable[..., Any], arguments: Sequence[Any]) -> Any:
            connection = idle.get()
            try:
                return action(connection, *arguments)
            finally:
                idle.put(connection)

        pool = stack.enter_context(ThreadPoolExecutor(count))
        begun: list[Future[Any]] = []

        def submit(action: Callable[..., Any], *arguments: Any) -> Future[Any]:
            begun.append(pool.submit(call, action, arguments))
            return begun[-1]

        try:
            yield submit
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # Again and again: a query that begins after an interrupt knows nothing of it.
            while not all(future.done() for future in begun):
                for connection in connections:
                    connection.interrupt()
                time.sleep(_PAUSE_S)
            raise


def divide_memory(limit: str, count: int) -> str:
    """Divide a limit as DuckDB spells it, ``7GB`` or ``80%``; one that is no amount stays."""
    amount = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([A-Za-z%]+)\s*", limit)
    return limit if amount is None else f"{float(amount[1]) / count:.3f}{amount[2]}"


def _write_file(
    connection: duckdb.DuckDBPyConnection,
    table: BlockTable,
    model_id: str,
    ordered: Future[bool],
    folder: Path,
) -> None:
    """Write one model's rows of a table of blocks."""
    has_states = table.name == "fct_block_states"
    if has_states:
        _set_limits(connection, model_id)
    stored = STATES_OF_LIMITS if has_states else quote_name(table.name)
    model = quote_text(model_id)
    named = f"cast({model} as enum({model})) as model_id"
    rows = f"select * replace ({named}) from {stored} where model_id = {model}"
    query = f"select {table.form.columns} from ({rows})"
    if not ordered.result():
        query += f" order by {', '.join(map(quote_name, table.grain))}"
    options = (PARQUET if has_states else _MEASURES_PARQUET) + table.form.options
    copy_query(connection, query, folder / table.name / model_id, options)


def _set_limits(connection: duckdb.DuckDBPyConnection, model_id: str) -> None:
    """Let the session's variables hold a model's limits, as `STATES_OF_LIMITS` reads them."""
    chosen = f"from mart_limits where model_id = {quote_text(model_id)}"
    for name in connection.sql("select * from mart_limits limit 0").columns:
        column = quote_name(name)
        connection.execute(f"set variable {column} = (select {column} {chosen})")


def lies_in_order(connection: duckdb.DuckDBPyConnection, model_id: str) -> bool:
    """Whether a model's blocks are stored in the order of their grain: most are, and need no sort.

    A copy of one table keeps its order, and so does one of what is computed row by row. Row numbers
    must rise with the place in raster order within an image, without gaps, and from image to image
    by name.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    model_id : str

    Returns
    -------
    bool
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
