"""Build the warehouse beside its place, test it, and publish it by one rename."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, hash_json, locked, sync
from upscale_audit.ingest.manifests import MANIFEST, read_manifest, write_manifest
from upscale_audit.ingest.run import read_raw_manifest
from upscale_audit.ingest.vouchers import Journal, check_vouched
from upscale_audit.warehouse.companions import (
    COMPANIONS,
    CompanionFolder,
    HyraFolder,
    create_companion_views,
    read_hyra,
    read_phantoms,
    read_readings,
)
from upscale_audit.warehouse.composites import check_composites, create_composites
from upscale_audit.warehouse.connect import (
    open_build,
    open_warehouse,
    quote_name,
    remove_database,
    saying_database_errors,
)
from upscale_audit.warehouse.dbt_runner import (
    PROJECT,
    MemoryLimitError,
    read_project,
    run_dbt,
)
from upscale_audit.warehouse.detectors import Measured, create_measured_table, read_detectors
from upscale_audit.warehouse.frozen import (
    Frozen,
    check_vouched_frozen,
    create_frozen_tables,
    read_frozen,
)
from upscale_audit.warehouse.growth import (
    CARRIED_SCHEMA,
    STORED_BLOCKS,
    Growth,
    copy_published,
    drop_what_cannot_grow,
    plan_growth,
)
from upscale_audit.warehouse.lineage import Graph, add_dbt_edges, create_lineage
from upscale_audit.warehouse.model_facts import TABLE as MODEL_FACTS
from upscale_audit.warehouse.model_facts import create_model_facts, read_model_facts
from upscale_audit.warehouse.parts import PARTS, PartsOnCluster
from upscale_audit.warehouse.project import check_marts
from upscale_audit.warehouse.proof.provenance import (
    OWN_BASIS,
    WAREHOUSE_MANIFEST,
    describe_axis,
    describe_build,
    describe_study,
    describe_warehouse,
)
from upscale_audit.warehouse.raw import check_raw, check_sign_off, create_raw_views
from upscale_audit.warehouse.resumption import NOTE, Interrupted, find_interrupted, note_build

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from dbt.artifacts.schemas.run.v5.run import RunResult
    from dbt.contracts.graph.manifest import Manifest

    from upscale_audit.ingest.manifests import RawManifest
    from upscale_audit.ingest.study import Study


# Unit tests of the SQL read no study: the test suite runs them, not each build.
BUILD = ("build", "--exclude-resource-type", "unit_test")


@dataclass(frozen=True)
class BuildReport:
    """What a build published.

    Attributes
    ----------
    warehouse : Path
    bytes : int
    sources_root : str
    tables, tests : int
        Made, and passed.
    carried_blocks : int
        Block rows that were taken over from the warehouse before.
    reason : str or None
        Why none was; None where some were.
    resumed : bool
        Whether it went on from a build that had been killed.
    stands : bool
        Whether nothing was made, since nothing that decides what is published has changed.
    axis_basis : str or None
        Name of the basis that scores; None in a study without images.
    axis_alignment : float or None
        |cos| between it and the study's own first axis; where that scores, the standard one.
    least_alignment : float or None
        Below it the basis is said not to be that of the study's blocks (definitions E.4).
    """

    warehouse: Path
    bytes: int
    sources_root: str
    tables: int = 0
    tests: int = 0
    carried_blocks: int = 0
    reason: str | None = None
    resumed: bool = False
    stands: bool = False
    axis_basis: str | None = None
    axis_alignment: float | None = None
    least_alignment: float | None = None


@dataclass(frozen=True)
class Inputs:
    """Everything that decides a warehouse."""

    manifest: RawManifest
    hyra: HyraFolder
    phantoms: CompanionFolder
    readings: CompanionFolder
    frozen: Frozen
    measured: Measured
    composites: dict[str, list[str]]
    model_facts: list[dict[str, Any]]
    recipe: dict[str, Any]

    @property
    def companions(self) -> tuple[CompanionFolder, ...]:
        """What lies beside the raw folder."""
        return self.hyra, self.phantoms, self.readings

    @property
    def recipe_sha256(self) -> str:
        """Hash of the recipe."""
        return hash_json(self.recipe)


def build_warehouse(
    study: Study,
    threads: int | None = None,
    progress: Callable[..., None] | None = None,
    executor: Executor | None = None,
    workers: int = 1,
) -> BuildReport:
    """Build, test and publish a study's warehouse.

    Parameters
    ----------
    study : ingest.study.Study
    threads : int, optional
        DuckDB threads; all cores by default. No result depends on it.
    progress : callable, optional
        Called as ``progress(done, total, name)`` when a dbt node ends; before that, where a cluster
        makes parts, with the unit that it counts, `warehouse.parts.UNIT`, as a fourth argument.
    executor : concurrent.futures.Executor, optional
        A cluster's, `ingest.cluster.open_cluster`: its workers make the tables of blocks, part by
        part. No result depends on it.
    workers : int
        Parts that it makes at once.

    Returns
    -------
    BuildReport

    Raises
    ------
    StudyError
        The raw folder is unfinished or damaged, holds no block, or a dbt model or test
        failed. The published warehouse then stays as it was.

    Notes
    -----
    When a build is killed, at any moment, or runs out of memory, the published warehouse still
    stands, and the next one goes on from the tables that were finished, if nothing that decides
    them has changed. A published warehouse that is what would be made is left as it is.
    """
    database = study.output / f".{study.warehouse.name}.next"
    check_marts(PROJECT)
    with locked(study.output, "ingest or build"), saying_database_errors(database):
        _check_own(study)
        inputs = read_inputs(study)
        if _is_published(study, inputs):
            _end(study, database)
            return _report(study, inputs, stands=True)
        job = _Job(study, database, inputs, executor, workers)
        try:
            counts = job.make(threads, progress)
            job.publish()
        except Exception as error:
            if not (isinstance(error, MemoryLimitError) and job.can_resume):
                remove_database(database)
            raise
        finally:
            job.remove_spill()
        _end(study, database)
        return _report(
            study,
            inputs,
            **counts,
            carried_blocks=job.carried.get(f"{CARRIED_SCHEMA}.{STORED_BLOCKS}", 0),
            reason=job.growth.reason,
            resumed=job.left is not None,
        )


def _check_own(study: Study) -> None:
    """Refuse to replace a file that no build published."""
    if not study.warehouse.exists() or (study.output / WAREHOUSE_MANIFEST).is_file():
        return
    with contextlib.suppress(StudyError, duckdb.Error), open_warehouse(study.warehouse) as opened:
        opened.sql("select table_name, grain from dim_tables limit 1").fetchall()
        return
    raise StudyError(
        f"{study.warehouse} is there, and no build published it: move it away, or name another"
        " folder as [study] output"
    )


def _clear(study: Study, database: Path) -> None:
    """Remove a build database, and the note that another build could go on from it."""
    (study.output / "dbt" / NOTE).unlink(missing_ok=True)
    remove_database(database)


def _end(study: Study, database: Path) -> None:
    """Remove what only the next build could have needed, had this one not published."""
    for stage in ("raw", *COMPANIONS):
        Journal(study.output, stage).remove()
    _clear(study, database)


def _report(study: Study, inputs: Inputs, **made: Any) -> BuildReport:
    size, root = study.warehouse.stat().st_size, inputs.manifest["sources_root"]
    return BuildReport(study.warehouse, size, root, **made, **_read_axis(study.warehouse))


def _is_published(study: Study, inputs: Inputs) -> bool:
    """Say whether the published warehouse, to the last byte, is what these inputs give."""
    try:
        published = read_manifest(study.output / WAREHOUSE_MANIFEST, "upscale-audit build")
        files, sizes = published["files"], published["bytes"]
        expected = _describe(study, inputs, files, sizes)
        return hash_json(published) == hash_json(expected) and files == {
            study.warehouse.name: hash_file(study.warehouse)
        }
    except (StudyError, OSError):
        return False


def _describe(
    study: Study, inputs: Inputs, files: Mapping[str, str], sizes: Mapping[str, int]
) -> dict[str, Any]:
    return describe_warehouse(
        study, files, sizes, inputs.recipe, inputs.manifest, inputs.companions
    )


def _read_axis(path: Path) -> dict[str, Any]:
    with open_warehouse(path) as connection:
        (row,) = connection.sql(
            "select axis_basis, axis_alignment, constants.value as least_alignment from dim_study"
            " inner join dim_constants as constants on constants.constant = 'minimum_alignment'"
        ).fetchall()
    return dict(zip(("axis_basis", "axis_alignment", "least_alignment"), row, strict=True))


def create_raw(database: Path, study: Study, inputs: Inputs, manifest: RawManifest) -> None:
    """Make the schema `raw` of a build database: all that dbt's sources name.

    Parameters
    ----------
    database : Path
    study : ingest.study.Study
    inputs : Inputs
    manifest : dict
        The raw folder's, or what of it is to be built.
    """
    added = set(manifest["block_shards"])
    carried = [name for name in inputs.manifest["block_shards"] if name not in added]
    create_raw_views(database, study, manifest, carried)
    for companion in inputs.companions:
        create_companion_views(database, companion)
    create_frozen_tables(database, inputs.frozen)
    create_measured_table(database, inputs.measured)
    create_composites(database, study, inputs.composites)
    create_model_facts(database, inputs.model_facts)
    create_lineage(database, study, inputs.manifest, inputs.hyra, inputs.recipe_sha256)


def read_inputs(study: Study) -> Inputs:
    """Read, and check to the last byte, everything that decides a study's warehouse.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    Inputs

    Raises
    ------
    StudyError
        The raw folder, HyRA's, the frozen or the detectors file is unfinished, damaged or changed.
    """
    manifest = read_raw_manifest(study.raw)
    check_raw(study.raw, manifest)
    check_sign_off(study, manifest)
    check_vouched(study.output, "raw", f"upscale-audit ingest {study.path}")
    hyra, phantoms, readings = read_hyra(study), read_phantoms(study), read_readings(study)
    frozen = read_frozen(study)
    check_vouched_frozen(study, frozen)
    measured = read_detectors(study)
    named = {"frozen": frozen.sha256, "detectors": measured.sha256}
    facts = read_model_facts(study)
    recipe = describe_build(study, manifest, (hyra, phantoms, readings), named)
    # Not among what decides a number: `warehouse.growth` passes it over.
    recipe |= {"model_facts": facts}
    composites = check_composites(study)
    return Inputs(manifest, hyra, phantoms, readings, frozen, measured, composites, facts, recipe)


class _Job:
    """One build: from nothing, adding to the published warehouse, or going on from a killed one."""

    def __init__(
        self,
        study: Study,
        database: Path,
        inputs: Inputs,
        executor: Executor | None = None,
        workers: int = 1,
    ) -> None:
        self.study, self.database, self.inputs = study, database, inputs
        self.executor, self.workers = executor, workers
        self.folder = study.output / "dbt"
        self.carried: dict[str, int] = {}
        self.database_sha256: str | None = None
        self.left: Interrupted | None = None
        self.parsed: Manifest | None = None
        if executor is not None:
            self.growth = Growth(reason="a cluster makes every block's row")
        else:
            self.growth = plan_growth(study, inputs.manifest, inputs.recipe, inputs.frozen)
        if self.can_resume:
            self.left = find_interrupted(self.folder, database, inputs.recipe_sha256)

    @property
    def can_resume(self) -> bool:
        """Whether this build starts from nothing; one that adds is short."""
        return not self.growth.adds and self.executor is None

    def make(self, threads: int | None, progress: Callable[..., None] | None) -> dict[str, int]:
        """Make and test every table that is not there; count tables and tests."""
        if self.left is None:
            _clear(self.study, self.database)
        elif self.left.counts is not None:
            self.database_sha256 = self.left.database_sha256
            return self.left.counts
        variables = describe_study(self.study)
        if self.growth.adds:
            self.carried = copy_published(self.study, self.database)
        self._create_raw()
        parts: dict[str, Any] = {}
        finished = set() if self.left is None else set(self.left.tables)
        if self.executor is not None and self.inputs.manifest["block_shards"]:
            parts, finished = self._make_parts(self.executor, variables, threads, progress)
        self._note()
        counts = self._run_models(threads, progress, variables, parts, finished)
        self._finish()
        self.database_sha256 = hash_file(self.database)
        self._note(counts)
        return counts

    def _note(self, counts: Mapping[str, int] | None = None) -> None:
        if self.can_resume:
            note_build(self.folder, self.inputs.recipe_sha256, counts, self.database_sha256)

    def _create_raw(self) -> None:
        """Make the raw schema: over all blocks, or those that are to be added."""
        manifest = self.inputs.manifest
        if self.growth.adds:
            manifest = {**manifest, "block_shards": list(self.growth.shards)}
        create_raw(self.database, self.study, self.inputs, manifest)

    def _make_parts(
        self,
        executor: Executor,
        variables: Mapping[str, Any],
        threads: int | None,
        progress: Callable[..., None] | None,
    ) -> tuple[dict[str, Any], set[str]]:
        """Let a cluster make the tables of blocks; say where they lie, and what stands here."""

        def run(arguments: Sequence[str], parts: Mapping[str, Any]) -> list[RunResult]:
            return run_dbt(
                self.study,
                self.database,
                arguments,
                threads,
                None,
                variables,
                parts=parts,
                parsed=parsed,
            )

        self.parsed = parsed = read_project(self.study, self.database, variables)
        nodes = {name: node.to_dict() for name, node in parsed.nodes.items()}
        shards = self.inputs.manifest["block_shards"]
        cluster = PartsOnCluster(
            self.study, self.database, nodes, shards, executor, self.workers, run, progress
        )
        return cluster.compute()

    def _run_models(
        self,
        threads: int | None,
        progress: Callable[..., None] | None,
        variables: Mapping[str, Any],
        parts: Mapping[str, Any],
        finished: set[str],
    ) -> dict[str, int]:
        arguments = list(BUILD)
        finished = finished - {path.stem for path in (PROJECT / "seeds").glob("*.csv")}
        if finished:
            # Their tests run all the same: they may not have before.
            arguments += ["--indirect-selection", "empty", "--exclude", *sorted(finished)]
        results = run_dbt(
            self.study,
            self.database,
            arguments,
            threads,
            progress,
            variables,
            carried=self.carried,
            parts=parts,
            parsed=self.parsed,
        )
        statuses = [str(item.status) for item in results]
        tables = statuses.count("success") + len(finished)
        return {"tables": tables, "tests": statuses.count("pass")}

    def _finish(self) -> None:
        """Add what dbt knows of itself, drop what no later build adds to, flush to one file."""
        inputs = self.inputs
        path = self.folder / "target" / "manifest.json"
        dbt_manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest_sha256 = hash_file(self.study.raw / MANIFEST)
        graph = Graph(PROJECT, dbt_manifest, inputs.manifest, manifest_sha256)
        graph.add_files("hyra_file", inputs.hyra.name_files())
        graph.add_files("phantom_file", inputs.phantoms.name_files())
        graph.add_files("reading_file", inputs.readings.name_files())
        graph.add_files("frozen_file", inputs.frozen.name_files())
        graph.add_files("detectors_file", inputs.measured.name_files())
        # They are in the build's recipe, as the study file's parameters are.
        graph.add_files("study_file", {MODEL_FACTS: None})
        with open_build(self.database) as connection:
            connection.begin()
            _create_table_list(connection, dbt_manifest)
            add_dbt_edges(connection, graph)
            can_grow = describe_axis(self.study)["scoring_basis"] != OWN_BASIS
            drop_what_cannot_grow(connection, dbt_manifest, can_grow)
            for schema in ("raw", "staging"):
                connection.execute(f"drop schema if exists {quote_name(schema)} cascade")
            connection.commit()
            connection.execute("checkpoint")
        self.database.chmod(0o444)

    def publish(self) -> None:
        """Put the database in its place, then its manifest beside it; between, it has none."""
        study, inputs = self.study, self.inputs
        sync(self.database)
        files = {study.warehouse.name: self.database_sha256 or hash_file(self.database)}
        sizes = {study.warehouse.name: self.database.stat().st_size}
        manifest = _describe(study, inputs, files, sizes)
        (study.output / WAREHOUSE_MANIFEST).unlink(missing_ok=True)
        os.replace(self.database, study.warehouse)
        sync(study.output)
        write_manifest(study.output / WAREHOUSE_MANIFEST, manifest)

    def remove_spill(self) -> None:
        """Remove what was put aside while tables were made."""
        for name in ("spill", PARTS):
            shutil.rmtree(self.folder / name, ignore_errors=True)


def _create_table_list(
    connection: duckdb.DuckDBPyConnection, dbt_manifest: Mapping[str, Any]
) -> None:
    nodes = dbt_manifest["nodes"].values()
    marts = [
        node for node in nodes if node["resource_type"] == "model" and node["contract"]["enforced"]
    ]
    connection.execute(
        "create table dim_tables (table_name varchar, grain varchar[], description varchar)"
    )
    connection.executemany(
        "insert into dim_tables values (?, ?, ?)",
        [
            [node["name"], node["meta"]["grain"], node["description"]]
            for node in sorted(marts, key=lambda node: node["name"])
        ],
    )
    connection.execute(
        "comment on table dim_tables is 'The tables of this warehouse. One row per table.'"
    )
