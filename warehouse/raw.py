"""The raw folder as a build finds it: checked to the last byte, and seen through views."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import MANIFEST, SOURCES, restate
from upscale_audit.ingest.merkle import find_root
from upscale_audit.ingest.schema import TABLES, arrow_schema
from upscale_audit.warehouse.connect import THREADS, open_build, quote_text


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
    with open_build(database) as connection:
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
