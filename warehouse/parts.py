"""Tables of blocks, made part by part by the workers of a cluster: dbt's SQL on DuckDB.

A part is some block shards. What a build adds to a table shard by shard can as well be made of each
part by itself. What lies between, limits and bases, is small, and made here from all parts. Needs
the extra ``cluster``, and a folder that every worker sees under the same path.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq

from upscale_audit.analysis.connection import lock
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.manifests import describe_code
from upscale_audit.ingest.plain_paths import plain_path
from upscale_audit.ingest.workers import map_units
from upscale_audit.warehouse.connect import memory_limit, open_build, quote_name, quote_text
from upscale_audit.warehouse.growth import CARRIED_SCHEMA, GROWING, STORED_BLOCKS
from upscale_audit.warehouse.raw import CARRIED_BLOCKS, create_block_view

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study


PART_ROWS = 1 << 22
"""Block rows of a part at most, save where one shard has more: 1.5 GB of a worker's memory."""

PARTS = "parts"
"""Folder beside dbt's artefacts for what machines write for each other; a build removes it."""

UNIT = "tables of parts"
"""What is counted while workers are at it: of rounds of few tables and of many."""

_STORED = f"model.upscale_audit.{STORED_BLOCKS}"
_COMPILE = ("compile", "--no-write-json", "--indirect-selection", "empty")
_BUILD = ("build", "--no-write-json", "--exclude-resource-type", "test", "unit_test")
"""How dbt runs between rounds: without tests, and without what it tells of a run."""

_BLOCKS = {"source.upscale_audit.raw.blocks", _STORED}
_RESULTS = "results"
_FORM = "compression uncompressed, parquet_version v2, dictionary_size_limit 256"
"""Written in half the time of DuckDB's own choice, and read once, by DuckDB."""

_MEMORY_SHARE = 0.6
"""What DuckDB takes of a dask worker's memory; the worker is restarted at nine tenths of it."""


@dataclass(frozen=True)
class Relation:
    """A table or view of dbt's, as a worker makes or finds it.

    Attributes
    ----------
    schema, name : str
    sql : str
        dbt's compiled SELECT; empty where a worker finds a file.
    is_view : bool
    wide : tuple of str
        In a file, its columns of 128-bit integers, which Parquet holds as decimals.
    """

    schema: str
    name: str
    sql: str = ""
    is_view: bool = False
    wide: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """``schema.name``: how its files are called, too."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Part:
    """What a worker makes of some block shards in one round.

    Attributes
    ----------
    number : int
        Names its files.
    shards : tuple of str
        Block shards, in the order of the raw manifest.
    raw, folder : Path
        The raw folder, and where the workers and this machine read and write.
    database : str
        The catalogue's name in compiled SQL.
    lent : tuple of Relation
        Small tables of this machine.
    before : tuple of Relation
        What earlier rounds made of this part, and the views between, in order.
    made : tuple of Relation
        What to make, in order.
    program : dict
        As `describe_program` gives it: the worker's must be the same.
    """

    number: int
    shards: tuple[str, ...]
    raw: Path
    folder: Path
    database: str
    lent: tuple[Relation, ...]
    before: tuple[Relation, ...]
    made: tuple[Relation, ...]
    program: Mapping[str, str]

    def locate(self, relation: Relation) -> Path:
        """Give the file of a table that is made of this part."""
        return self.folder / _RESULTS / relation.path / f"{self.number:06}.parquet"


@dataclass(frozen=True)
class Made:
    """What came of a table of a part: the rows of its file, and `Relation.wide`."""

    rows: int
    wide: tuple[str, ...]


def plan_rounds(nodes: Mapping[str, Any]) -> list[tuple[bool, list[str]]]:
    """Divide what tables of blocks are made of between the cluster and this machine.

    Parameters
    ----------
    nodes : dict
        Those of dbt's ``manifest.json``.

    Returns
    -------
    list of (bool, list of str)
        In turn: whether workers make them, and ids of dbt models, in order. Workers make what a
        build adds to, or says ``by_part`` in its ``meta``, and the views of blocks between. A last
        build, which is not listed, makes the rest.
    """
    models = {name: node for name, node in nodes.items() if node["resource_type"] == "model"}
    parents = {name: set(node["depends_on"]["nodes"]) for name, node in models.items()}
    by_part = {name for name, node in models.items() if _is_made_by_part(node)}
    blocks = set(_BLOCKS)
    while found := {
        name
        for name in models.keys() - blocks
        if models[name]["config"]["materialized"] == "view" and parents[name] & blocks
    }:
        blocks |= found
    needed: set[str] = set()
    stack = list(by_part)
    while stack:
        name = stack.pop()
        if name in models and name not in needed:
            needed.add(name)
            stack.extend(parents[name])
    rounds: list[tuple[bool, list[str]]] = []
    done: set[str] = set()
    is_of_workers = False
    while done != needed:
        mine = {name for name in needed if (name in by_part | blocks) == is_of_workers}
        made: list[str] = []
        while ready := sorted(name for name in mine - done if parents[name] & needed <= done):
            made += ready
            done |= set(ready)
        if made:
            rounds.append((is_of_workers, made))
        is_of_workers = not is_of_workers
    return rounds


def _is_made_by_part(node: Mapping[str, Any]) -> bool:
    config = node["config"]
    return bool(config["meta"].get("by_part", config["materialized"] == GROWING))


def group_shards(raw: Path, shards: Sequence[str], workers: int) -> list[tuple[str, ...]]:
    """Divide block shards among parts: in their order, a part for each worker at least.

    Parameters
    ----------
    raw : Path
        The raw folder.
    shards : sequence of str
    workers : int

    Returns
    -------
    list of tuple of str
    """
    rows = [pq.read_metadata(raw / name).num_rows for name in shards]
    most = min(PART_ROWS, -(-sum(rows) // workers))
    groups: list[list[str]] = []
    size = 0
    for name, count in zip(shards, rows, strict=True):
        if not groups or size + count > most:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += count
    return [tuple(group) for group in groups]


class PartsOnCluster:
    """The tables of blocks of one build, made by a cluster.

    Parameters
    ----------
    study : ingest.study.Study
    database : Path
        Build database with the raw views; what lies between rounds is made in it.
    nodes : dict
        As `plan_rounds` takes them.
    shards : sequence of str
        Block shards, as the raw manifest lists them.
    executor : concurrent.futures.Executor
    workers : int
        Parts that are made at once.
    run_dbt : callable
        ``run_dbt(arguments, parts)``: as `warehouse.dbt_runner.run_dbt` runs dbt.
    progress : callable, optional
        As `warehouse.build.build_warehouse` takes it.
    """

    def __init__(
        self,
        study: Study,
        database: Path,
        nodes: Mapping[str, Any],
        shards: Sequence[str],
        executor: Executor,
        workers: int,
        run_dbt: Callable[[Sequence[str], Mapping[str, Any]], Any],
        progress: Callable[..., None] | None = None,
    ) -> None:
        self.study = study
        self.database = database
        self.nodes = nodes
        self.executor = executor
        self.workers = workers
        self.run_dbt = run_dbt
        self.progress = progress
        # Of this build alone: a worker that an earlier one lost may still be writing.
        self.folder = study.output / "dbt" / PARTS / uuid.uuid4().hex
        self.groups = group_shards(study.raw, shards, workers)
        self.lent: dict[str, Relation] = {}
        self.made: dict[str, Relation] = {}
        self.done = self.total = 0

    def compute(self) -> tuple[dict[str, Any], set[str]]:
        """Make every round.

        Returns
        -------
        parts : dict
            Where dbt finds the tables that workers made, for `warehouse.dbt_runner.run_dbt`.
        finished : set of str
            Names of dbt models that stand in the build database.
        """
        self.folder.mkdir(parents=True)
        rounds = plan_rounds(self.nodes)
        of_workers = [name for is_of_workers, made in rounds if is_of_workers for name in made]
        tables = [name for name in of_workers if not self._relate(name).is_view]
        self.total = len(tables) * len(self.groups)
        compiled = self._compile(of_workers)
        finished: set[str] = set()
        for is_of_workers, made in rounds:
            if is_of_workers:
                relations = [replace(self._relate(name), sql=compiled[name]) for name in made]
                self._make_parts(relations, self._list_parents(made))
            else:
                finished |= self._make_between(made, finished)
        return self._describe(), finished

    def _compile(self, made: Iterable[str]) -> dict[str, str]:
        """Let dbt spell what workers make; by the ids of dbt models."""
        names = [self.nodes[name]["name"] for name in made]
        results = self.run_dbt([*_COMPILE, "--select", *names], {})
        return {result.node.unique_id: result.node.compiled_code for result in results}

    def _make_between(self, made: Sequence[str], finished: set[str]) -> set[str]:
        """Make what the next round reads, from tables of parts too; the names of dbt models."""
        taken = [one for one in self._list_parents(made) if self._relate(one).path in self.made]
        select = {self.nodes[name]["name"] for name in (*made, *taken)} - finished
        seeds = [] if finished else ["resource_type:seed"]
        self.run_dbt([*_BUILD, "--select", *seeds, *sorted(select)], self._describe())
        return select

    def _describe(self) -> dict[str, Any]:
        tables = {one.path: list(one.wide) for one in self.made.values() if not one.is_view}
        return {"folder": str(plain_path(self.folder) / _RESULTS), "tables": tables}

    def _relate(self, name: str) -> Relation:
        node = self.nodes[name]
        is_view = node["config"]["materialized"] == "view"
        return Relation(node["schema"], node.get("alias") or node["name"], is_view=is_view)

    def _list_parents(self, names: Iterable[str]) -> list[str]:
        """List the models and seeds that some models read, these not among them."""
        parents = {one for name in names for one in self.nodes[name]["depends_on"]["nodes"]}
        return sorted(parents & self.nodes.keys() - set(names))

    def _make_parts(self, made: Sequence[Relation], parents: Sequence[str]) -> None:
        """Let the cluster make a round of each part; take note of what came."""
        read = {one.path: one for one in map(self._relate, parents) if one.path not in self.made}
        self._lend([one for path, one in read.items() if path not in self.lent])
        part = Part(
            number=0,
            shards=(),
            raw=self.study.raw,
            folder=self.folder,
            database=self.nodes[_STORED]["database"],
            lent=tuple(self.lent.values()),
            before=tuple(self.made.values()),
            made=tuple(made),
            program=describe_program(),
        )
        units = [
            replace(part, number=number, shards=shards) for number, shards in enumerate(self.groups)
        ]
        found: dict[str, Made] = {}
        done = map_units(make_part, units, self.workers, _name_part, self.executor)
        for number, results in done:
            self._check_files(units[number], results)
            found |= results
            self.done += len(results)
            if self.progress is not None:
                self.progress(self.done, self.total, _name_part(units[number]), UNIT)
        for one in made:
            wide = () if one.is_view else found[one.path].wide
            self.made[one.path] = replace(one, wide=wide)

    def _lend(self, relations: Iterable[Relation]) -> None:
        """Copy small tables of this machine to where workers read them."""
        folder = plain_path(self.folder)
        with open_build(self.database, [plain_path(self.study.raw), folder]) as connection:
            for one in relations:
                made = _write(connection, f"from {_spell(one)}", _locate_lent(folder, one))
                self.lent[one.path] = replace(one, wide=made.wide)

    def _check_files(self, part: Part, results: Mapping[str, Made]) -> None:
        """Hold what a worker says it wrote against what is here."""
        for relation in part.made:
            if relation.is_view:
                continue
            with contextlib.suppress(OSError):
                if pq.read_metadata(part.locate(relation)).num_rows == results[relation.path].rows:
                    continue
            raise StudyError(
                f"a worker made {relation.path} of part {part.number}, and it is not in"
                f" {self.folder}: every worker must see {self.study.output} under the same path, as"
                " a shared folder that shows a finished file at once"
            )


def describe_program() -> dict[str, str]:
    """Name what decides the tables of a part, beside SQL and shards."""
    return {
        "upscale-audit": describe_code("warehouse")["sha256"],
        "DuckDB": duckdb.__version__,
    }


def _locate_lent(folder: Path, relation: Relation) -> Path:
    return folder / "lent" / f"{relation.path}.parquet"


def _name_part(part: Part) -> str:
    return f"part {part.number}"


def make_part(part: Part) -> tuple[int, dict[str, Made]]:
    """Make the tables of one part, on a worker.

    Parameters
    ----------
    part : Part

    Returns
    -------
    number : int
        The part's.
    made : dict
        What came of each table, `Made`, by ``schema.name``.

    Raises
    ------
    StudyError
        This machine does not see the study, has another program, or too little memory.
    """
    here = socket.gethostname()
    own = describe_program()
    for name, expected in part.program.items():
        if own[name] != expected:
            raise StudyError(
                f"the worker on {here} has another {name} than this machine ({own[name][:16]}, not"
                f" {expected[:16]}): install the same there"
            )
    try:
        named = replace(part, raw=plain_path(part.raw), folder=plain_path(part.folder))
        with _open_part(named) as connection:
            return part.number, _make_tables(connection, named)
    except duckdb.OutOfMemoryException as error:
        raise StudyError(
            f"memory ran out on {here}, at part {part.number}: give its dask worker more"
            f" (--memory-limit), or fewer threads; {str(error).splitlines()[0]}"
        ) from None
    except (duckdb.IOException, OSError) as error:
        raise StudyError(
            f"the worker on {here} cannot read or write the study, at part {part.number}: every"
            f" worker must see {part.folder} and {part.raw} under the same path, as a shared folder"
            f" with space; {str(error).splitlines()[0]}"
        ) from None


@contextlib.contextmanager
def _open_part(part: Part) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory as a build of these shards alone would find it."""
    with (
        tempfile.TemporaryDirectory(prefix="upscale-audit-") as spill,
        duckdb.connect(config={"threads": 1, "memory_limit": find_memory()}) as connection,
    ):
        connection.execute("set enable_progress_bar = false")
        connection.execute(f"set temp_directory = {quote_text(spill)}")
        connection.execute(f"attach ':memory:' as {quote_name(part.database)}")
        connection.execute(f"use {quote_name(part.database)}")
        lock(connection, [part.raw, part.folder])
        connection.execute("create schema raw")
        create_block_view(connection, part.raw, "blocks", part.shards)
        create_block_view(connection, part.raw, CARRIED_BLOCKS, ())
        for one in part.lent:
            _show(connection, one, _locate_lent(part.folder, one))
        for one in part.before:
            if one.is_view:
                _create_view(connection, one)
            else:
                _show(connection, one, part.locate(one))
        yield connection


def _make_tables(connection: duckdb.DuckDBPyConnection, part: Part) -> dict[str, Made]:
    """Make what a round makes, in order: each table as a file, from which the next ones read it."""
    found = {}
    for one in part.made:
        if one.is_view:
            _create_view(connection, one)
            continue
        path = part.locate(one)
        found[one.path] = made = _write(connection, one.sql, path)
        _show(connection, replace(one, wide=made.wide), path)
    return found


def find_memory() -> str:
    """Give the memory that DuckDB may take for one task of this dask worker, or of this machine."""
    with contextlib.suppress(ImportError, ValueError):
        from distributed import get_worker

        worker = get_worker()
        limit = worker.memory_manager.memory_limit
        if limit:
            return f"{max(256, int(_MEMORY_SHARE * limit / worker.state.nthreads) >> 20)}MiB"
    return memory_limit()


def _create_view(connection: duckdb.DuckDBPyConnection, relation: Relation) -> None:
    connection.execute(f"create schema if not exists {quote_name(relation.schema)}")
    connection.execute(f"create view {_spell(relation)} as {relation.sql}")


def _spell(relation: Relation) -> str:
    return f"{quote_name(relation.schema)}.{quote_name(relation.name)}"


def _show(connection: duckdb.DuckDBPyConnection, relation: Relation, path: Path) -> None:
    """Show a file as what `_write` wrote it from; blocks have the numbers of a table's rows."""
    connection.execute(f"create schema if not exists {quote_name(relation.schema)}")
    is_numbered = (relation.schema, relation.name) == (CARRIED_SCHEMA, STORED_BLOCKS)
    items = ["*"]
    if relation.wide:
        columns = map(quote_name, relation.wide)
        items = [f"* replace ({', '.join(f'cast({one} as hugeint) as {one}' for one in columns)})"]
    connection.execute(
        f"create view {_spell(relation)} as select {', '.join(items)}"
        f"{', file_row_number as rowid' if is_numbered else ''}"
        f" from read_parquet({quote_text(path)}, hive_partitioning = false,"
        f" file_row_number = {str(is_numbered).lower()})"
    )


def _write(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> Made:
    """Write a query's rows to a file, whole or not at all: two workers may be at the same."""
    found = connection.sql(query)
    kinds = zip(found.columns, found.types, strict=True)
    wide = tuple(name for name, kind in kinds if str(kind) == "HUGEINT")
    # Parquet has no 128-bit integer: DuckDB would write it as a double.
    casts = [f"cast({quote_name(one)} as decimal(38, 0)) as {quote_name(one)}" for one in wide]
    items = f"* replace ({', '.join(casts)})" if casts else "*"
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        ((rows,),) = connection.execute(
            f"copy (select {items} from ({query}\n)) to {quote_text(written)}"
            f" (format parquet, {_FORM})"
        ).fetchall()
        os.replace(written, path)
    finally:
        written.unlink(missing_ok=True)
    return Made(rows, wide)
