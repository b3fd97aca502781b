"""Build the warehouse beside its place, test it, and publish it by one rename."""

import contextlib
import gc
import json
import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from ingest.errors import StudyError
from ingest.files import hash_file, hash_json, locked, sync
from ingest.manifests import MANIFEST, SOURCES, restate, write_manifest
from ingest.merkle import find_root
from ingest.run import read_raw_manifest
from ingest.schema import TABLES, arrow_schema
from warehouse.connect import (
    THREADS,
    memory_limit,
    quote_name,
    quote_text,
    saying_database_errors,
)
from warehouse.hyra import create_hyra_views, read_hyra
from warehouse.lineage import add_dbt_edges, create_lineage
from warehouse.provenance import WAREHOUSE_MANIFEST, describe_build, describe_warehouse

PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
BUILD_SCHEMAS = ("raw", "staging", "intermediate")
# Unit tests of the SQL read no study: the test suite runs them, not each build.
BUILD = ("build", "--exclude-resource-type", "unit_test")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildReport:
    """What a build published."""

    warehouse: Path
    bytes: int
    tables: int
    tests: int
    sources_root: str


def build_warehouse(study, threads=None, progress=None, spark=None):
    """Build, test and publish a study's warehouse.

    Parameters
    ----------
    study : ingest.study.Study
    threads : int, optional
        DuckDB threads; all cores by default. No result depends on it.
    progress : callable, optional
        Called as ``progress(done, total, name)`` when a dbt node ends.
    spark : str, optional
        Address of a Spark master, ``spark://host:7077`` or ``local[2]``: the tables that read
        blocks are made there. No result depends on it.

    Returns
    -------
    BuildReport

    Raises
    ------
    StudyError
        The raw folder is unfinished or damaged, holds no block, or a dbt model or test
        failed. The published warehouse then stays as it was.
    """
    database = study.output / f".{study.warehouse.name}.next"
    with locked(study.output, "ingest or build"), saying_database_errors(database):
        manifest = read_raw_manifest(study.raw)
        check_raw(study.raw, manifest)
        check_sign_off(study, manifest)
        hyra = read_hyra(study)
        remove_database(database)
        try:
            create_raw_views(database, study.raw, manifest)
            create_hyra_views(database, hyra)
            recipe = describe_build(study, manifest, hyra)
            create_lineage(database, study, manifest, hyra, hash_json(recipe))
            variables = {}
            if spark:
                variables = _compute_on_spark(study, database, manifest, spark, threads)
            results = run_dbt(study, database, BUILD, threads, progress, variables)
            _finish(study, database, manifest, hyra)
            _publish(study, database, recipe, hyra)
        finally:
            remove_database(database)
            for folder in ("spill", "spark"):
                shutil.rmtree(study.output / "dbt" / folder, ignore_errors=True)
    statuses = [str(item.status) for item in results]
    return BuildReport(
        warehouse=study.warehouse,
        bytes=study.warehouse.stat().st_size,
        tables=statuses.count("success"),
        tests=statuses.count("pass"),
        sources_root=manifest["sources_root"],
    )


def check_sign_off(study, manifest):
    """Check that a raw manifest agrees with itself, its source list and the study.

    Raises
    ------
    StudyError
        It was changed after ingest wrote it, or ingest read another study file.
    """
    shards = {name for name in manifest["files"] if name.startswith("blocks/")}
    sources = study.raw / SOURCES
    lines = sources.read_bytes().splitlines(keepends=True) if sources.is_file() else []
    expected = restate(manifest) | {
        "study": study.name,
        "models": [model.model_id for model in study.models],
        "has_published": bool(study.published),
        "sources_root": find_root(lines),
        "block_shards": sorted(shards),
    }
    found = manifest | {"block_shards": sorted(manifest["block_shards"])}
    wrong = [name for name, value in expected.items() if found[name] != value]
    if wrong:
        raise StudyError(
            f"{study.raw / MANIFEST} is not as ingest wrote it for {study.path}:"
            f" {', '.join(wrong)}; run upscale-audit ingest, which mends it"
        )


def check_raw(raw, manifest):
    """Re-hash every raw file the manifest lists.

    Raises
    ------
    StudyError
        A file is missing or differs, or there is no block shard.
    """
    if not manifest["block_shards"] and not manifest["has_published"]:
        raise StudyError(
            f"{raw} holds no block: no reference could be measured; the last lines of"
            " upscale-audit ingest say why"
        )
    files = manifest["files"]
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda name: _hash_or_none(raw / name), files)
        wrong = [
            f"{name} is {'missing' if digest is None else 'not as ingest wrote it'}"
            for (name, expected), digest in zip(files.items(), found, strict=True)
            if digest != expected
        ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise StudyError(
            f"{raw}: {'; '.join(wrong[:3])}{more}; run upscale-audit ingest, which mends it"
        )


def _hash_or_none(path):
    try:
        return hash_file(path)
    except OSError:
        return None


def create_raw_views(database, raw, manifest):
    """Create views over exactly the files of the manifest, in its order."""
    with duckdb.connect(
        str(database), config={"storage_compatibility_version": "v1.5.0"}
    ) as connection:
        connection.execute("create schema raw")
        for table in TABLES:
            shards = [raw / table / f"{table}.parquet"]
            if table == "blocks":
                shards = [raw / name for name in manifest["block_shards"]] or [_no_blocks(database)]
            files = ", ".join(map(quote_text, shards))
            options = "hive_partitioning = false"
            if table == "blocks":
                options = (
                    "hive_partitioning = true, hive_types_autocast = false,"
                    " hive_types = {'model_id': varchar}"
                )
            connection.execute(
                f"create view raw.{table} as select * from read_parquet([{files}], {options})"
            )


def _no_blocks(database):
    """Write a shard without rows, for a study of published files only."""
    path = database.parent / "dbt" / "no_blocks" / "model_id=none" / "blocks.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(arrow_schema("blocks").empty_table(), path)
    return path


def _compute_on_spark(study, database, manifest, master, threads):
    """Let Spark make the tables that read blocks; give the variables with which dbt takes them."""
    from warehouse.spark import BlocksOnSpark

    def run(arguments, variables, target):
        run_dbt(study, database, arguments, threads, variables=variables, target=target)

    return BlocksOnSpark(study, database, manifest, master, run).compute()


def run_dbt(
    study, database, arguments, threads=None, progress=None, variables=None, target="build"
):
    """Run a dbt command on a database with a study's parameters, in this process.

    Returns
    -------
    list
        dbt's results.
    """
    folder = study.output / "dbt"
    environment = {
        "UPSCALE_AUDIT_DB": str(database),
        "UPSCALE_AUDIT_THREADS": str(threads or THREADS),
        "UPSCALE_AUDIT_MEMORY": memory_limit(),
        "UPSCALE_AUDIT_TEMP": str(folder / "spill"),
    }
    variables = json.dumps(asdict(study.analysis_parameters) | (variables or {}))
    arguments = [*arguments, "--target", target, "--vars", variables]
    with _environment(environment):
        return invoke_dbt(arguments, folder, progress)


def invoke_dbt(arguments, folder, progress=None):
    """Run a dbt command on the project, quietly, its artefacts under `folder`.

    Returns
    -------
    list
        dbt's results.

    Raises
    ------
    StudyError
        A dbt model or test failed, named with its first lines.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    def announce(event):
        if progress is None:
            return
        if event.info.name == "LogModelResult":
            progress(event.data.index, event.data.total, event.data.node_info.node_name)
        elif event.info.name == "LogTestResult":
            progress(event.data.index, event.data.num_models, event.data.node_info.node_name)

    result = dbtRunner(callbacks=[announce]).invoke(
        [
            *arguments,
            "--project-dir",
            str(PROJECT),
            "--profiles-dir",
            str(PROJECT),
            "--target-path",
            str(folder / "target"),
            "--log-path",
            str(folder / "logs"),
            "--log-level",
            "none",
        ]
    )
    # dbt-duckdb keeps its database open for the next run in this process; no one else could.
    DuckDBConnectionManager.close_all_connections()
    gc.collect()
    if result.exception is not None:
        raise StudyError(f"dbt could not run: {result.exception}") from result.exception
    results = list(getattr(result.result, "results", None) or [])
    failed = [item for item in results if str(item.status) in ("error", "fail")]
    if failed:
        what = "; ".join(
            f"{item.node.name}: {' '.join((item.message or '').split())[:300]}"
            for item in failed[:3]
        )
        raise StudyError(
            f"{len(failed)} dbt nodes failed: {what}; the published warehouse is as it was,"
            f" {folder / 'target'} holds the compiled SQL and run_results.json"
        )
    return results


@contextlib.contextmanager
def _environment(values):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _finish(study, database, manifest, hyra):
    """Add what dbt knows of itself, drop what only the build needed, flush to one file."""
    path = study.output / "dbt" / "target" / "manifest.json"
    dbt_manifest = json.loads(path.read_text(encoding="utf-8"))
    with duckdb.connect(str(database), config={"max_vacuum_tasks": 0}) as connection:
        _create_table_list(connection, dbt_manifest)
        manifest_sha256 = hash_file(study.raw / MANIFEST)
        add_dbt_edges(connection, PROJECT, dbt_manifest, manifest, manifest_sha256, hyra)
        for schema in BUILD_SCHEMAS:
            connection.execute(f"drop schema if exists {quote_name(schema)} cascade")
        connection.execute("checkpoint")
    database.chmod(0o444)


def _create_table_list(connection, dbt_manifest):
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


def _publish(study, database, recipe, hyra):
    """Put the database in its place, then its manifest beside it; between, it has none."""
    sync(database)
    manifest = describe_warehouse(study, database, recipe, hyra)
    (study.output / WAREHOUSE_MANIFEST).unlink(missing_ok=True)
    os.replace(database, study.warehouse)
    sync(study.output)
    write_manifest(study.output / WAREHOUSE_MANIFEST, manifest)


def remove_database(database):
    """Remove a build database and its log, if there."""
    database.unlink(missing_ok=True)
    database.with_name(database.name + ".wal").unlink(missing_ok=True)
