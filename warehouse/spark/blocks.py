"""Blocks on Spark, everything else on DuckDB: one dbt project for a study that outgrew a machine.

dbt models that read blocks are run by dbt-spark on a cluster; what they give is small, save
`int_blocks_scored`, which `fct_blocks` shows, and DuckDB takes it from the files they wrote. Needs
the extra ``spark`` and Java 17, and a folder that every Spark worker sees under the same path.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.plain_paths import is_plain
from upscale_audit.warehouse.connect import open_build, quote_name, quote_text
from upscale_audit.warehouse.spark.session import open_session

if TYPE_CHECKING:
    from upscale_audit.ingest.manifests import RawManifest
    from upscale_audit.ingest.study import Study


BLOCK_TABLES = {"source.upscale_audit.raw.blocks", "model.upscale_audit.int_blocks_scored"}
PROBES_PER_CORE = 4


def plan_phases(manifest: Mapping[str, Any]) -> Any:
    """Divide the dbt models that blocks need between the engines.

    Parameters
    ----------
    manifest : dict
        dbt's ``manifest.json``.

    Returns
    -------
    phases : list of (str, list of str)
        ``"spark"`` and ``"duckdb"`` in turn, each with the ids of the models to run, in
        order. A DuckDB phase has what the next Spark phases read; a last DuckDB build, which
        is not listed, makes the rest.
    tables : list of str
        Ids of the tables that Spark makes: those that read blocks themselves or through views,
        and do not say ``engine: duckdb``.
    """
    models = {
        name: node for name, node in manifest["nodes"].items() if node["resource_type"] == "model"
    }
    parents = {name: set(node["depends_on"]["nodes"]) for name, node in models.items()}
    readers: set[Any] = set()
    carriers = set(BLOCK_TABLES)
    able = {name for name in models if models[name]["config"]["meta"].get("engine") != "duckdb"}
    while found := {name for name in able - readers if parents[name] & carriers}:
        readers |= found
        carriers |= {name for name in found if models[name]["config"]["materialized"] == "view"}
    needed, stack = set(), list(readers)
    while stack:
        name = stack.pop()
        if name in models and name not in needed:
            needed.add(name)
            stack.extend(parents[name])
    done: set[Any] = set()
    phases, engine = [], "duckdb"
    while done != needed:
        mine = readers if engine == "spark" else needed - readers
        phase = []
        while ready := sorted(name for name in mine - done if parents[name] & needed <= done):
            phase += ready
            done |= set(ready)
        if phase:
            phases.append((engine, phase))
        engine = "duckdb" if engine == "spark" else "spark"
    tables = sorted(name for name in readers if models[name]["config"]["materialized"] != "view")
    return phases, tables


class BlocksOnSpark:
    """The block-grain part of one build.

    Parameters
    ----------
    study : ingest.study.Study
    database : Path
        Build database with the raw views; DuckDB phases write into it.
    raw_manifest : dict
        ``raw/manifest.json``.
    master : str
    run_dbt : callable
        ``run_dbt(arguments, variables, target)``, as `warehouse.dbt_runner.run_dbt` runs dbt.
    """

    def __init__(
        self,
        study: Study,
        database: Path,
        raw_manifest: RawManifest,
        master: str,
        run_dbt: Callable[..., None],
    ) -> None:
        self.study = study
        self.database = database
        self.raw_manifest = raw_manifest
        self.master = master
        self.run_dbt = run_dbt
        self.folder = study.output / "dbt" / "spark"
        self.log = study.output / "dbt" / "logs" / "spark.log"

    def compute(self) -> dict[str, Any]:
        """Run every phase.

        Returns
        -------
        dict
            dbt variables with which a DuckDB build takes Spark's tables for its own.
        """
        self._check_name()
        self._check_shards()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.run_dbt(["seed"], {}, "build")
        target = self.study.output / "dbt" / "target"
        manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
        phases, tables = plan_phases(manifest)
        names = {name: _relation(manifest["nodes"][name]) for name in tables}
        variables = {
            "block_results": str(self.folder / "results"),
            "block_tables": [".".join(relation) for relation in names.values()],
        }
        with open_session(self.master, self.folder, self.log) as session:
            self._check_shared(session)
            self._create_source(session)
            computed: set[Any] = set()
            for engine, phase in phases:
                self._run_phase(session, engine, phase, manifest, computed, variables)
        return variables

    def _check_name(self) -> None:
        """Refuse a folder in whose name Spark or dbt reads more than a name, as ``{a,b}``."""
        if not is_plain(self.study.output):
            raise StudyError(
                f"Spark cannot be given {self.study.output}: it takes some of the characters for"
                " patterns, keys or parts of an address; name a folder with letters, digits and"
                " ordinary marks only as [study] output, or build without --spark"
            )

    def _check_shards(self) -> None:
        listed = set(self.raw_manifest["block_shards"])
        found = {
            path.relative_to(self.study.raw).as_posix()
            for path in (self.study.raw / "blocks").rglob("*.parquet")
        }
        if found != listed:
            raise StudyError(
                f"{self.study.raw}/blocks holds files that its manifest does not list, and Spark"
                f" reads whole folders: {', '.join(sorted(found ^ listed)[:3])}; run"
                " upscale-audit ingest"
            )

    def _create_source(self, session: Any) -> None:
        path = str(self.study.raw / "blocks").replace("`", "``")
        session.sql("create database raw")
        session.sql(f"create view raw.blocks as select * from parquet.`{path}`")

    def _check_shared(self, session: Any) -> None:
        """Let every worker write into the folder: what one writes elsewhere would be missing."""
        tasks = PROBES_PER_CORE * session.sparkContext.defaultParallelism
        probe = self.folder / "probe"
        session.range(0, tasks, 1, tasks).write.parquet(str(probe))
        found = len(list(probe.glob("*.parquet")))
        shutil.rmtree(probe)
        if found != tasks:
            raise StudyError(
                f"Spark's workers at {self.master} wrote {tasks} files into {self.folder}, and"
                f" {found} are there: every worker must see {self.study.output} under the same"
                " path, as a shared folder"
            )

    def _run_phase(
        self, session: Any, engine: Any, phase: Any, manifest: Any, computed: Any, variables: Any
    ) -> None:
        nodes = manifest["nodes"]
        select = [nodes[name]["name"] for name in phase]
        parents = sorted({one for name in phase for one in nodes[name]["depends_on"]["nodes"]})
        if engine == "spark":
            inputs = [one for one in parents if one in nodes and one not in computed | set(phase)]
            self._lend(session, [_relation(nodes[one]) for one in inputs])
            self.run_dbt(["run", "--select", *select], variables, "spark")
            self._check_shared(session)
            computed |= set(phase)
        else:
            # What Spark has made so far is read in where this phase needs it.
            taken = [one for one in parents if one in computed]
            select += [nodes[one]["name"] for one in taken]
            self.run_dbt(["run", "--select", *select], variables, "build")

    def _lend(self, session: Any, relations: Any) -> None:
        """Copy small DuckDB tables to where Spark reads them."""
        with open_build(self.database, [self.study.raw, self.folder]) as connection:
            for schema, name in relations:
                path = Path(self.folder) / "inputs" / f"{schema}.{name}"
                if path.exists():
                    continue
                path.mkdir(parents=True)
                table = f"{quote_name(schema)}.{quote_name(name)}"
                connection.execute(
                    f"copy (select * from {table}) to {quote_text(path / 'part.parquet')}"
                    " (format parquet)"
                )
                session.sql(f"create database if not exists {schema}")
                session.catalog.createTable(f"{schema}.{name}", path=str(path), source="parquet")


def _relation(node: Any) -> Any:
    """Give the schema and name of a dbt node's table."""
    return node["schema"], node.get("alias") or node["name"]
