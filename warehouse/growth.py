"""A build that adds to a copy of the published warehouse what was measured since.

Unless a study scores by an axis of its own, a block's row is final: what is published stays, shards
that came since are scored and summed, and only tables with a row per image or fewer are made anew,
and what compares blocks with limits that may move. Sums are exact, so the tables are those of a
build from nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import MANIFEST, read_manifest
from upscale_audit.warehouse.companions import COMPANIONS
from upscale_audit.warehouse.connect import open_build, open_warehouse, quote_name
from upscale_audit.warehouse.proof.provenance import OWN_BASIS, WAREHOUSE_MANIFEST
from upscale_audit.warehouse.raw import find_shard_model

if TYPE_CHECKING:
    from upscale_audit.ingest.manifests import RawManifest
    from upscale_audit.ingest.study import Study
    from upscale_audit.warehouse.frozen import Frozen


CARRIED_SCHEMA = "intermediate"
"""Holds the blocks, and in a published file that can grow the sums that later builds add to."""

GROWING = "growing_table"
"""How dbt materializes a table to which builds add (dbt_project/macros/growth.sql)."""

STORED_BLOCKS = "int_blocks_scored"
"""What `fct_blocks`, a view, stores, in the carried schema of every published file."""

BLOCK_VIEWS = ("int_block_states_exported", "int_blocks_completed")
"""Views of it there that are published too."""


@dataclass(frozen=True)
class Growth:
    """What a build adds to the published warehouse, or why it makes everything anew.

    Attributes
    ----------
    shards : tuple of str
        Block shards that are not in it, in the order of the raw manifest.
    reason : str or None
        Why the build starts from nothing; None where it adds.
    """

    shards: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def adds(self) -> bool:
        """Whether the build adds to the published warehouse."""
        return self.reason is None


def plan_growth(
    study: Study, manifest: RawManifest, recipe: dict[str, Any], frozen: Frozen
) -> Growth:
    """Find what a build has to add to the published warehouse.

    Parameters
    ----------
    study : ingest.study.Study
    manifest : dict
        The raw folder's.
    recipe : dict
        The build's, `warehouse.proof.provenance.describe_build`.
    frozen : warehouse.frozen.Frozen

    Returns
    -------
    Growth
    """
    if recipe["axis"]["scoring_basis"] == OWN_BASIS:
        return Growth(reason="the axis is the study's own")
    if not study.warehouse.is_file():
        return Growth(reason="there is no warehouse yet")
    try:
        published = read_manifest(study.output / WAREHOUSE_MANIFEST, "upscale-audit build")
        changed = _compare_recipes(published["recipe"], recipe)
        if changed:
            return Growth(reason=f"{changed} changed since the last build")
        before, models, regions, is_dense = _read_published(study.warehouse)
    except (StudyError, duckdb.Error) as error:
        return Growth(reason=f"the published one cannot be read: {str(error).splitlines()[0]}")
    if not is_dense:
        return Growth(reason="rows were taken out of the published warehouse")
    retiled = _find_retiled(models, published["recipe"], recipe)
    if retiled:
        return Growth(reason=retiled)
    moved = _find_moved(regions, study.raw)
    if moved:
        return Growth(reason=f"the regions of {moved} changed since the last build")
    growth = _find_added(before, models, manifest, frozen)
    expected = published["files"].get(study.warehouse.name)
    if growth.adds and hash_file(study.warehouse) != expected:
        return Growth(reason="the published warehouse is not as it was published")
    return growth


def _read_published(path: Path) -> tuple[dict[str, str], set[str], dict[str, str | None], bool]:
    """Read raw files and regions of images by SHA-256, models, and whether rows have no gap."""
    with open_warehouse(path) as connection:
        files = connection.execute(
            "select parent_name, parent_sha256 from mart_provenance"
            " where child_kind = 'raw_file' and child_name = ? and parent_kind = 'raw_file'",
            [MANIFEST],
        ).fetchall()
        models = connection.execute("select model_id from dim_models").fetchall()
        regions = connection.execute("select image_id, regions_sha256 from dim_masks").fetchall()
        # A build that adds tells its rows from the carried ones by these numbers.
        ((is_dense,),) = connection.sql(
            f"select coalesce(max(rowid) + 1, 0) = count(*) from {CARRIED_SCHEMA}.{STORED_BLOCKS}"
        ).fetchall()
    return dict(files), {model_id for (model_id,) in models}, dict(regions), is_dense


def _find_moved(before: Mapping[str, str | None], raw: Path) -> str | None:
    """Name the first image whose blocks lie in other regions than carried sums were made by."""
    columns = ["image_id", "regions_sha256"]
    table = pq.read_table(raw / "masks" / "masks.parquet", columns=columns, partitioning=None)
    now = dict(zip(*(table[name].to_pylist() for name in columns), strict=True))
    moved = [name for name, sha256 in before.items() if name in now and now[name] != sha256]
    return min(moved, default=None)


def _compare_recipes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Name the first part of a build's recipe that differs, save the images; None if none does."""
    inputs = [dict(recipe.get("inputs", {})) for recipe in (before, now)]
    for item in inputs:
        for name in ("raw", *COMPANIONS, "detectors"):
            item.pop(name, None)
    if inputs[0] != inputs[1]:
        return "the frozen file"
    # Not the models of the study's own axis: what is made of them is made anew by every build.
    scoring = [recipe.get("axis", {}).get("scoring_basis") for recipe in (before, now)]
    if scoring[0] != scoring[1]:
        return "the axis"
    names = {
        "parameters": "a parameter",
        "has_lr": "what the study says of LR images",
        "code": "upscale-audit",
        "dbt_project_sha256": "the SQL",
        "duckdb_version": "DuckDB",
        "dependencies_sha256": "a pinned package",
    }
    return next((text for name, text in names.items() if before.get(name) != now.get(name)), None)


def _find_retiled(
    models: set[str], before: Mapping[str, Any], now: Mapping[str, Any]
) -> str | None:
    """Say what about tiles changed that seams of carried blocks are measured by; None if nothing.

    Notes
    -----
    The baseline is measured at the tiles of every model, so one that no model had is new to it too.
    """
    had, have = (recipe.get("models", {}).get("model_tiles", {}) for recipe in (before, now))
    changed = [name for name in sorted(models) if had.get(name) != have.get(name)]
    if changed:
        return f"the tile of {changed[0]} changed since the last build"
    known = {*had.values(), now["parameters"]["tile_px"]}
    fresh = sorted(name for name, tile_px in have.items() if tile_px not in known)
    return f"{fresh[0]} has a tile that no model had" if fresh else None


def _find_added(
    before: Mapping[str, str], models: set[str], manifest: RawManifest, frozen: Frozen
) -> Growth:
    """Compare shards; a model's limits must be final for its blocks to be."""
    files = manifest["files"]
    kept = ("blocks/", "units/", "boxes/", "regions/")
    for name, sha256 in before.items():
        if name.startswith(kept) and files.get(name) != sha256:
            return Growth(reason=f"raw/{name} changed or is gone")
    if not models <= set(manifest["models"]):
        gone = min(models - set(manifest["models"]))
        return Growth(reason=f"the model {gone} is no longer in the study")
    shards = [name for name in manifest["block_shards"] if name not in before]
    for model_id in sorted(set(map(find_shard_model, shards))):
        if frozen.sha256 is not None and model_id in models - frozen.models:
            return Growth(
                reason=f"images were added to {model_id}, which has no limits in the frozen file"
            )
    return Growth(tuple(shards))


def copy_published(study: Study, database: Path) -> dict[str, int]:
    """Copy the published warehouse for a build to add to, less what the build makes first.

    Parameters
    ----------
    study : ingest.study.Study
    database : Path

    Returns
    -------
    dict
        Rows of each table in it, by ``schema.name``: those to be added lie behind.
    """
    copy_database(study.warehouse, database)
    with open_build(database) as connection:
        for schema, name, kind in _list_tables(connection):
            if schema == "main":
                _drop(connection, "main", name, kind)
        connection.execute("checkpoint")
        return {
            f"{schema}.{name}": connection.sql(
                f"select count(*) from {quote_name(schema)}.{quote_name(name)}"
            ).fetchall()[0][0]
            for schema, name, _ in _list_tables(connection)
        }


def _list_tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """List schema, name and kind of what a published file holds, if a dbt model could be called so.

    A name becomes a variable of dbt, which renders it: one of any other kind was not given by it.
    """
    return connection.execute(
        "select table_schema, table_name, table_type from information_schema.tables"
        " where table_schema in ('main', ?)"
        " and (table_schema = 'main' or regexp_full_match(table_name, '[a-z0-9_]+'))",
        [CARRIED_SCHEMA],
    ).fetchall()


def copy_database(source: Path, target: Path) -> None:
    """Copy a published database to where it can be written.

    Parameters
    ----------
    source, target : Path
    """
    _copy_file(source, target)
    target.chmod(0o644)


def _copy_file(source: Path, target: Path) -> None:
    """Copy by sharing extents where the file system can, so that it costs nothing."""
    with open(source, "rb") as reading, open(target, "wb") as writing, contextlib.suppress(OSError):
        left = os.fstat(reading.fileno()).st_size
        while left:
            copied = os.copy_file_range(reading.fileno(), writing.fileno(), left)
            if not copied:
                break
            left -= copied
        if not left:
            return
    shutil.copyfile(source, target)


def drop_what_cannot_grow(
    connection: duckdb.DuckDBPyConnection, dbt_manifest: Mapping[str, Any], keeps: bool
) -> None:
    """Drop intermediate tables and views, save blocks and those to which a later build adds.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    dbt_manifest : dict
        dbt's description of its last run.
    keeps : bool
        Whether a later build may add to this one; else only blocks are kept.
    """
    grown = {
        node["name"]
        for node in dbt_manifest["nodes"].values()
        if node["resource_type"] == "model" and node["config"]["materialized"] == GROWING
    }
    found = connection.execute(
        "select table_name, table_type from information_schema.tables where table_schema = ?",
        [CARRIED_SCHEMA],
    ).fetchall()
    kept = {STORED_BLOCKS, *BLOCK_VIEWS, *(grown if keeps else ())}
    for name, kind in found:
        if name not in kept:
            _drop(connection, CARRIED_SCHEMA, name, kind)


def _drop(connection: duckdb.DuckDBPyConnection, schema: str, name: str, kind: str) -> None:
    what = "view" if kind == "VIEW" else "table"
    connection.execute(f"drop {what} {quote_name(schema)}.{quote_name(name)}")
