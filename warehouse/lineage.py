"""Which artefact was made from which: the edges of `mart_provenance`, the row of `dim_study`.

Edges from source files to raw files come from ingest's manifests before dbt runs; edges among
dbt's tables come from its own graph afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import MANIFEST, SOURCES, SUMS
from upscale_audit.ingest.sources import (
    MASK,
    find_block_shards,
    list_table_sources,
    list_unit_sources,
    merge_unit_sources,
)
from upscale_audit.ingest.units import read_manifest
from upscale_audit.warehouse.composites import TABLE as COMPOSITES
from upscale_audit.warehouse.connect import open_build, quote_name
from upscale_audit.warehouse.raw import PARAMETERS, SHARDED, list_shards

if TYPE_CHECKING:
    import duckdb

    from upscale_audit.ingest.manifests import RawManifest
    from upscale_audit.ingest.study import Study
    from upscale_audit.ingest.units import UnitManifest
    from upscale_audit.warehouse.companions import HyraFolder


MASK_TABLES = ("region_rows", "masks")
"""Raw tables that masks go into, beside what the units' shards say of the references."""

UNIT_TABLES = ("images", "source_files", "image_metrics", "pairs", "rejects", *MASK_TABLES)
"""Raw tables that are made of the units."""

_EDGE = (
    "child_kind",
    "child_name",
    "parent_kind",
    "parent_name",
    "child_hash_of",
    "child_sha256",
    "parent_hash_of",
    "parent_sha256",
)
_STUDY = {
    "study_name": pa.string(),
    "schema_version": pa.int32(),
    "code_version": pa.string(),
    "source_file_count": pa.int64(),
    "raw_file_count": pa.int64(),
    "sources_root": pa.string(),
    "raw_root": pa.string(),
    "raw_recipe_sha256": pa.string(),
    "raw_content_sha256": pa.string(),
    "build_recipe_sha256": pa.string(),
}
TABLES = {"lineage": _EDGE, "study": tuple(_STUDY)}
"""Tables that build adds to the raw schema."""

_EDGE_SCHEMA = pa.schema([(name, pa.string()) for name in _EDGE])


def create_lineage(
    database: Path, study: Study, manifest: RawManifest, hyra: HyraFolder, build_recipe_sha256: str
) -> None:
    """Add the tables `lineage` and `study` to the raw schema of a build database.

    Parameters
    ----------
    database : Path
    study : ingest.study.Study
    manifest : dict
        The raw folder's.
    hyra : warehouse.companions.HyraFolder
    build_recipe_sha256 : str
    """
    edges = {*list_raw_edges(study, manifest), *list_hyra_edges(hyra)}
    row = _describe_study(manifest, build_recipe_sha256)
    with open_build(database) as connection:
        _create(connection, "lineage", _to_table(edges))
        _create(connection, "study", pa.Table.from_pylist([row], schema=pa.schema(_STUDY)))


def _create(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    connection.register("rows_to_add", table)
    connection.execute(f"create table raw.{quote_name(name)} as select * from rows_to_add")
    connection.unregister("rows_to_add")


def _to_table(edges: set[tuple[str, ...]]) -> pa.Table:
    columns = zip(*sorted(edges), strict=True) if edges else [()] * len(_EDGE)
    return pa.Table.from_arrays([pa.array(c, pa.string()) for c in columns], schema=_EDGE_SCHEMA)


def _describe_study(manifest: RawManifest, build_recipe_sha256: str) -> dict[str, Any]:
    return {
        "study_name": manifest["study"],
        "schema_version": manifest["schema_version"],
        "code_version": manifest["recipe"]["code"]["version"],
        "source_file_count": manifest["source_count"],
        "raw_file_count": len(manifest["files"]),
        "sources_root": manifest["sources_root"],
        "raw_root": manifest["merkle_root"],
        "raw_recipe_sha256": manifest["recipe_sha256"],
        "raw_content_sha256": manifest["content_sha256"],
        "build_recipe_sha256": build_recipe_sha256,
    }


def list_raw_edges(study: Study, manifest: RawManifest) -> Iterator[tuple[str, ...]]:
    """Yield the edges from source files to raw files, and from those to the raw manifest."""
    files = manifest["files"]

    def join(child: str, parent_kind: str, parent: str, sha256: str) -> tuple[str, ...]:
        return ("raw_file", child, parent_kind, parent, "bytes", files[child], "bytes", sha256)

    sources = read_sums((study.raw / SOURCES).read_text(encoding="utf-8"))
    unread, units = dict(sources), _read_units(study, files)
    _check_sources(study, sources, merge_unit_sources(units.values()))
    for name, unit in units.items():
        for source, (model_id, sha256) in list_unit_sources(unit).items():
            unread.pop(source, None)
            yield join(name, "source_file", source, sha256)
            for shard in unit["shards"]:
                if model_id in (None, shard["model_id"]):
                    yield join(shard["file"], "source_file", source, sha256)
            for patches in unit["patch_shards"]:
                yield join(patches["file"], "source_file", source, sha256)
        for table in UNIT_TABLES:
            yield join(f"{table}/{table}.parquet", "raw_file", name, files[name])
    table_of = {name: table for name, (_, table) in list_table_sources(study).items()}
    for source, sha256 in unread.items():
        table = table_of.get(source, "rejects")
        tables = MASK_TABLES if source.startswith(f"{MASK}/") else (table,)
        for table in tables:
            yield join(f"{table}/{table}.parquet", "source_file", source, sha256)
    for source, table in find_block_shards(study).items():
        if source not in sources:
            raise StudyError(
                f"{source} is no file that ingest read: run upscale-audit ingest, which reads it"
            )
        yield join(table, "source_file", source, sources[source])
    manifest_sha256 = hash_file(study.raw / MANIFEST)
    for name, sha256 in files.items():
        if name != SUMS:
            hashes = ("bytes", manifest_sha256, "bytes", sha256)
            yield ("raw_file", MANIFEST, "raw_file", name, *hashes)


def _read_units(study: Study, files: Mapping[str, str]) -> dict[str, UnitManifest]:
    """Read the manifests of all units; they were hashed, but may be of another shape."""
    units = {}
    for name in filter(lambda name: name.startswith("units/"), files):
        unit = read_manifest(study.raw / name, {files[name]})
        written = [] if unit is None else [*unit["shards"], *unit["patch_shards"]]
        if unit is None or not {item["file"] for item in written} <= files.keys():
            raise StudyError(
                f"{study.raw / name} is no unit's manifest of this version; run upscale-audit"
                " ingest, which measures it again"
            )
        units[name] = unit
    return units


def _check_sources(study: Study, listed: Mapping[str, str], read: Mapping[str, str]) -> None:
    """Refuse units that read other bytes of a file than the list of source files has."""
    wrong = sorted(name for name, sha256 in read.items() if listed.get(name) != sha256)
    if wrong:
        raise StudyError(
            f"{study.raw / SOURCES} lists other bytes of {wrong[0]} than a unit read: run"
            " upscale-audit ingest, which measures what is there"
        )


def list_hyra_edges(hyra: HyraFolder) -> Iterator[Any]:
    """Yield the edges from references to the tables that ``hyra`` measured on them."""
    for table in ("hyra_images", "hyra_spectra"):
        for source, sha256 in hyra.sources.items():
            child = ("hyra_file", hyra.name(table), "source_file", source)
            yield (*child, "bytes", hyra.sha256[table], "bytes", sha256)


def read_sums(text: str) -> dict[str, str]:
    """Read a hash list that `ingest.manifests.format_sums` wrote: SHA-256 by name.

    Raises
    ------
    StudyError
        A line is none of such a list.
    """
    sums = {}
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        is_escaped = line.startswith("\\")
        sha256, separator, name = line.removeprefix("\\").partition("  ")
        if not (separator and name and re.fullmatch("[0-9a-f]{64}", sha256)):
            raise StudyError(
                f"line {number} of {SOURCES} is not a line of a hash list: {line[:100]!r}; run"
                " upscale-audit ingest, which writes it anew"
            )
        if is_escaped:
            pieces = name.split("\\\\")
            name = "\\".join(p.replace("\\n", "\n").replace("\\r", "\r") for p in pieces)
        sums[name] = sha256
    return sums


def add_dbt_edges(connection: duckdb.DuckDBPyConnection, graph: Graph) -> None:
    """Add dbt's own graph to `mart_provenance`: a table's hash is that of its SQL or CSV file.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    graph : Graph
    """
    connection.register("rows_to_add", _to_table({*graph.list_edges()}))
    connection.execute("insert into mart_provenance by name select * from rows_to_add")
    connection.unregister("rows_to_add")


class Graph:
    """dbt's graph as artefacts: kind, name, what the hash is of, SHA-256.

    Parameters
    ----------
    project : Path
        dbt's project folder.
    dbt_manifest : dict
        dbt's description of its last run.
    manifest : dict
        The raw folder's.
    manifest_sha256 : str
        Of the raw manifest's file.
    """

    def __init__(
        self,
        project: Path,
        dbt_manifest: Mapping[str, Any],
        manifest: RawManifest,
        manifest_sha256: str,
    ) -> None:
        self.project, self.manifest = project, manifest
        self.raw_manifest = ("raw_file", MANIFEST, "bytes", manifest_sha256)
        # The study file's parameters are in the build's recipe, of which dim_study has the hash.
        self.files = {table: [self.raw_manifest] for table in TABLES}
        self.files |= {PARAMETERS: [], COMPOSITES: []}
        self.nodes = {
            name: node
            for name, node in dbt_manifest["nodes"].items()
            if node["resource_type"] in ("model", "seed")
        }
        self.sources, self.macros = dbt_manifest["sources"], dbt_manifest["macros"]
        self.package = dbt_manifest["metadata"]["project_name"]

    def add_files(self, kind: str, files: Mapping[str, tuple[str, str] | None]) -> None:
        """Say from which files raw tables come that ingest did not write.

        Parameters
        ----------
        kind : str
            Theirs in `mart_provenance`.
        files : dict
            By raw table its file's name and SHA-256, or None where there is no file.
        """
        for table, file in files.items():
            self.files[table] = [] if file is None else [(kind, file[0], "bytes", file[1])]

    def list_edges(self) -> Iterator[tuple[str, ...]]:
        """Yield every edge between a dbt table or macro and what it reads."""
        for node in [*self.nodes.values(), *self.macros.values()]:
            child = self._describe(node)
            if child is None:
                continue
            for parent in self._list_parents(node["depends_on"]):
                if parent != child:
                    yield (*child[:2], *parent[:2], *child[2:], *parent[2:])

    def _list_parents(self, depends_on: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
        for name in depends_on.get("nodes", ()):
            if name in self.sources:
                yield from self._list_raw_files(self.sources[name]["name"])
            elif name in self.nodes:
                node = self._describe(self.nodes[name])
                if node is not None:
                    yield node
        for name in depends_on.get("macros", ()):
            macro = self._describe(self.macros[name]) if name in self.macros else None
            if macro is not None:
                yield macro

    def _list_raw_files(self, table: str) -> Iterator[tuple[str, ...]]:
        if table in self.files:
            yield from self.files[table]
            return
        names = [f"{table}/{table}.parquet"]
        if table == "blocks":
            names = self.manifest["block_shards"]
        elif table in SHARDED:
            names = list_shards(self.manifest, table)
        for name in names:
            yield ("raw_file", name, "bytes", self.manifest["files"][name])

    def _describe(self, node: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Describe a node; None for what other packages bring."""
        if node["package_name"] != self.package:
            return None
        kind, name = node["resource_type"], node["name"]
        if kind == "macro":
            name = node["original_file_path"]
        elif kind == "model":
            kind = "mart" if node["contract"]["enforced"] else "dbt_model"
        sha256 = hash_file(self.project / node["original_file_path"])
        return (kind, name, "definition", sha256)
