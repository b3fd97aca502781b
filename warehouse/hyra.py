"""HyRA's tables as a build finds them, if ``upscale-audit hyra`` has run."""

from dataclasses import dataclass, field
from pathlib import Path

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import MANIFEST, read_manifest
from upscale_audit.ingest.plain_paths import plain_path
from upscale_audit.ingest.schema import HYRA_TABLES, SCHEMA_VERSION
from upscale_audit.ingest.vouchers import check_vouched
from upscale_audit.warehouse.connect import open_build
from upscale_audit.warehouse.raw import create_empty_table, create_file_view


@dataclass(frozen=True)
class HyraFolder:
    """What ``hyra`` wrote, checked; `files` is empty where it has never run.

    Attributes
    ----------
    files : dict
        Path by raw table.
    sha256 : dict
        By raw table.
    sources : dict
        SHA-256 of each reference that was read, by its name within the study.
    content_sha256, manifest_sha256 : str or None
    """

    files: dict[str, Path] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    content_sha256: str | None = None
    manifest_sha256: str | None = None

    def name(self, table):
        """Name of a table's file within the study's output."""
        return f"hyra/{self.files[table].name}"

    def name_files(self):
        """Give, by raw table, its file's name and SHA-256, or None where ``hyra`` has never run."""
        return {
            table: (self.name(table), self.sha256[table]) if table in self.files else None
            for table in HYRA_TABLES
        }


def read_hyra(study):
    """Read and check what ``hyra`` wrote for a study.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    HyraFolder

    Raises
    ------
    StudyError
        The folder is unfinished, of another version, or a file is not as it was written.
    """
    if not study.hyra.exists():
        return HyraFolder()
    repair = f"upscale-audit hyra {study.path} (or remove {study.hyra})"
    manifest = read_manifest(study.hyra / MANIFEST, repair)
    check_vouched(study.output, "hyra", repair)
    version = manifest["recipe"].get("schema_version")
    if manifest["kind"] != "hyra" or version != SCHEMA_VERSION:
        raise StudyError(
            f"{study.hyra} holds {manifest['kind']} of schema version {version}; expected hyra of"
            f" {SCHEMA_VERSION}: run {repair} again"
        )
    files = {table: study.hyra / f"{table}.parquet" for table in HYRA_TABLES}
    sha256 = {table: manifest["files"].get(path.name) for table, path in files.items()}
    for table, path in files.items():
        if not path.is_file() or hash_file(path) != sha256[table]:
            raise StudyError(f"{path} is not as hyra wrote it; run {repair} again")
    inputs = manifest["recipe"].get("inputs", {})
    return HyraFolder(
        files,
        sha256,
        inputs.get("sources", {}),
        manifest["content_sha256"],
        hash_file(study.hyra / MANIFEST),
    )


def create_hyra_views(database, hyra):
    """Add HyRA's tables to the raw schema of a build database; without rows if it never ran.

    Parameters
    ----------
    database : Path
    hyra : HyraFolder
    """
    files = {table: plain_path(path) for table, path in hyra.files.items()}
    with open_build(database, {path.parent for path in files.values()}) as connection:
        connection.execute("create schema if not exists raw")
        for table in HYRA_TABLES:
            if table in files:
                create_file_view(connection, table, files[table])
            else:
                create_empty_table(connection, table)
