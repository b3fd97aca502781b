"""The raw folder as a build finds it: checked to the last byte, and seen through views."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import MANIFEST, SOURCES, restate
from upscale_audit.ingest.merkle import find_root
from upscale_audit.ingest.plain_paths import plain_path
from upscale_audit.ingest.schema import TABLES, arrow_schema
from upscale_audit.ingest.study import MODEL_ID_PATTERN, AnalysisParameters
from upscale_audit.warehouse.connect import THREADS, open_build, quote_name, quote_text

if TYPE_CHECKING:
    import duckdb

    from upscale_audit.ingest.manifests import RawManifest
    from upscale_audit.ingest.study import Study


PARAMETERS = "parameters"
PARAMETER_TEXTS = tuple(
    name for name, kind in get_type_hints(AnalysisParameters).items() if kind is str
)
"""Raw table of the study file's texts, and its columns. Numbers reach dbt as variables."""

CARRIED_BLOCKS = "carried_blocks"
"""Raw view of the blocks that a build which adds does not add; in any other it has none."""

SHARDED = ("patches", "published_blocks")
"""Raw tables of several files, or of none."""

_SHARD = re.compile(rf"blocks/model_id=({MODEL_ID_PATTERN.pattern})/[0-9a-f]{{16}}\.parquet")
_PARTS = re.compile(rf"({'|'.join(SHARDED)})/[0-9a-f]{{16}}\.parquet")


def check_sign_off(study: Study, manifest: RawManifest) -> None:
    """Check that a raw manifest agrees with itself, its source list and the study.

    Raises
    ------
    StudyError
        It was changed after ingest wrote it, or ingest read another study file.
    """
    shards = {name for name in manifest["files"] if name.startswith("blocks/")}
    sources = study.raw / SOURCES
    lines = sources.read_bytes().splitlines(keepends=True) if sources.is_file() else []
    expected: dict[str, object] = {
        **restate(manifest),
        "study": study.name,
        "models": [model.model_id for model in study.models],
        "has_published": bool(study.published or study.published_blocks),
        "sources_root": find_root(lines),
        "block_shards": sorted(shards),
        "has_lr": study.lr is not None,
        "published_blocks": [entry.recipe for entry in study.published_blocks],
    }
    found: dict[str, object] = {
        **manifest,
        "block_shards": sorted(manifest["block_shards"]),
        # Where the study names no LR image, the build stores nothing that is said of one.
        "has_lr": "lr" in manifest["recipe"],
        "published_blocks": manifest["recipe"].get("published_blocks", []),
    }
    wrong = [name for name, value in expected.items() if found[name] != value]
    if wrong:
        raise StudyError(
            f"{study.raw / MANIFEST} is not as ingest wrote it for {study.path}:"
            f" {', '.join(wrong)}; run upscale-audit ingest, which mends it"
        )


def check_raw(raw: Path, manifest: RawManifest) -> None:
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


def _hash_or_none(path: Path) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None


def find_shard_model(shard: str) -> str:
    """Give the model of a block shard, which is part of the name that the manifest lists it by.

    Parameters
    ----------
    shard : str

    Returns
    -------
    str
        `model_id`.

    Raises
    ------
    StudyError
        Ingest writes no shard of such a name.
    """
    match = _SHARD.fullmatch(shard)
    if match is None:
        raise StudyError(
            f"{MANIFEST} of the raw folder lists the block shard {shard!r}; expected"
            " blocks/model_id=NAME/ and 16 hexadecimal digits: run upscale-audit ingest, which"
            " mends it"
        )
    return match[1]


def list_shards(manifest: RawManifest, table: str) -> list[str]:
    """Names of the files of a sharded table that a raw manifest lists, in order."""
    found = ((name, _PARTS.fullmatch(name)) for name in manifest["files"])
    return sorted(name for name, match in found if match and match[1] == table)


def create_raw_views(
    database: Path, study: Study, manifest: RawManifest, carried_shards: Iterable[str] = ()
) -> None:
    """Create views over exactly the files of the manifest, in its order, and the study's texts.

    Parameters
    ----------
    database : Path
    study : ingest.study.Study
    manifest : dict
        The raw folder's, or what of it is to be built.
    carried_shards : iterable of str
        Block shards that were built before: those of `raw.carried_blocks`.

    Notes
    -----
    Files are read by plain names, and the model of a block's row is that of the manifest: no folder
    above the files, whatever its name, has a part in either.
    """
    raw = plain_path(study.raw)
    with open_build(database, [raw]) as connection:
        connection.execute("create schema raw")
        _create_parameters(connection, study.analysis_parameters)
        for table in TABLES:
            if table == "blocks":
                create_block_view(connection, raw, table, manifest["block_shards"])
            elif table in SHARDED:
                _create_sharded(connection, table, raw, list_shards(manifest, table))
            else:
                create_file_view(connection, table, raw / table / f"{table}.parquet")
        create_block_view(connection, raw, CARRIED_BLOCKS, carried_shards)


def _create_parameters(
    connection: duckdb.DuckDBPyConnection, parameters: AnalysisParameters
) -> None:
    """Add the texts among the parameters as one row: dbt renders its variables, but no data."""
    columns = ", ".join(f"{quote_name(name)} varchar" for name in PARAMETER_TEXTS)
    connection.execute(f"create table raw.{PARAMETERS} ({columns})")
    marks = ", ".join("?" * len(PARAMETER_TEXTS))
    texts = [getattr(parameters, name) for name in PARAMETER_TEXTS]
    connection.execute(f"insert into raw.{PARAMETERS} values ({marks})", texts)


def create_block_view(
    connection: duckdb.DuckDBPyConnection, raw: Path, view: str, shards: Iterable[str]
) -> None:
    """Show block shards as one raw table, with the model of each, which the file does not hold.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    raw : Path
        The raw folder, of plain names.
    view : str
        What the table is called.
    shards : iterable of str
        As the manifest names and orders them.
    """
    parts = [
        f"select *, {quote_text(model_id)} as model_id from {_read(raw / name for name in names)}"
        for model_id, names in itertools.groupby(shards, find_shard_model)
    ]
    if parts:
        connection.execute(f"create view raw.{view} as {' union all '.join(parts)}")
    else:
        # A study of published files only, or a build that adds nothing.
        create_empty_table(connection, "blocks", view)
        connection.execute(f"alter table raw.{view} add column model_id varchar")


def _create_sharded(
    connection: duckdb.DuckDBPyConnection, table: str, raw: Path, shards: Sequence[str]
) -> None:
    """Show a table's files as one, which has no rows where the study asks for none."""
    if shards:
        files = _read(raw / name for name in shards)
        connection.execute(f"create view raw.{quote_name(table)} as select * from {files}")
    else:
        create_empty_table(connection, table)


def create_file_view(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    """Show a file as a raw table.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    table : str
    path : Path
        Of plain names.
    """
    connection.execute(f"create view raw.{quote_name(table)} as select * from {_read([path])}")


def _read(paths: Iterable[Path]) -> str:
    """Spell the reading of some files, and of nothing that their folders' names may say."""
    return f"read_parquet([{', '.join(map(quote_text, paths))}], hive_partitioning = false)"


def create_empty_table(
    connection: duckdb.DuckDBPyConnection, table: str, name: str | None = None
) -> None:
    """Add a raw table without rows, where nothing was measured.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    table : str
        Of `ingest.schema.TABLES` or `HYRA_TABLES`.
    name : str, optional
        What it is called, if not the same.
    """
    connection.register("no_rows", arrow_schema(table).empty_table())
    connection.execute(f"create table raw.{quote_name(name or table)} as select * from no_rows")
    connection.unregister("no_rows")
