"""Tables that lie beside the raw folder as a build finds them, if a command has written them.

``hyra/`` holds what ``upscale-audit hyra`` measured, ``phantoms/`` what ``phantom`` drew,
``readings/`` what ``read`` let readers say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import MANIFEST, read_manifest
from upscale_audit.ingest.plain_paths import plain_path
from upscale_audit.ingest.schema import (
    HYRA_TABLES,
    PHANTOM_TABLES,
    READING_TABLES,
    SCHEMA_VERSION,
)
from upscale_audit.ingest.stated_window import name_window
from upscale_audit.ingest.vouchers import check_vouched
from upscale_audit.warehouse.connect import open_build
from upscale_audit.warehouse.raw import create_empty_table, create_file_view

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study


COMPANIONS = {"hyra": HYRA_TABLES, "phantoms": PHANTOM_TABLES, "readings": READING_TABLES}
"""Raw tables by the folder that they lie in."""


@dataclass(frozen=True)
class CompanionFolder:
    """What a command wrote beside the raw folder, checked; `files` is empty where it never ran.

    Attributes
    ----------
    stage : {"hyra", "phantoms", "readings"}
        The folder's name, and the stage of its manifest.
    files : dict
        Path by raw table.
    sha256 : dict
        By raw table.
    sources : dict
        SHA-256 of each file that was read.
    content_sha256, manifest_sha256 : str or None
    """

    stage: str = "hyra"
    files: dict[str, Path] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    content_sha256: str | None = None
    manifest_sha256: str | None = None

    def name(self, table: str) -> str:
        """Name of a table's file within the study's output."""
        return f"{self.stage}/{self.files[table].name}"

    def name_files(self) -> dict[str, tuple[str, str] | None]:
        """Give, by raw table, its file's name and SHA-256, or None where nothing was written."""
        return {
            table: (self.name(table), self.sha256[table]) if table in self.files else None
            for table in COMPANIONS[self.stage]
        }


class HyraFolder(CompanionFolder):
    """What ``hyra`` wrote; its sources are the references, by their names within the study."""


F = TypeVar("F", bound=CompanionFolder)


def read_hyra(study: Study) -> HyraFolder:
    """Read and check what ``hyra`` wrote for a study; see `read_companion`."""
    repair = f"upscale-audit hyra {study.path} (or remove {study.hyra})"
    return read_companion(study, "hyra", repair, HyraFolder)


def read_phantoms(study: Study) -> CompanionFolder:
    """Read and check what ``phantom`` drew into the images of a study; see `read_companion`."""
    repair = f"upscale-audit phantom STUDY.toml --out {study.output}"
    return read_companion(study, "phantoms", repair, CompanionFolder)


def read_readings(study: Study) -> CompanionFolder:
    """Read and check what readers said of a study's images; see `read_companion`."""
    repair = f"upscale-audit read {study.path} (or remove {study.readings})"
    found = read_companion(study, "readings", repair, CompanionFolder)
    if found.files:
        _check_settings(study, repair)
    return found


def _check_settings(study: Study, repair: str) -> None:
    """Refuse readings of images that the study would now decode, size or make otherwise.

    A reading names the file that was read, which says nothing of these.
    """
    recipe: Mapping[str, Any] = read_manifest(study.readings / MANIFEST, repair)["recipe"]
    told, given, lr = recipe.get("parameters", {}), study.ingest_parameters, study.lr
    now: dict[str, Any] = {"colour": given.colour, "size_rule": study.size_rule}
    now |= {"window": None} | name_window(given.window)
    if lr is not None and lr.folder is None and told.get("lr") is not None:
        now["lr"] = {"rule": lr.rule, "scale": lr.scale}
    # A recipe leaves out a window that there is none of.
    before = {"window": None} | told
    wrong = [name for name, value in now.items() if before.get(name, value) != value]
    if wrong:
        name = wrong[0]
        raise StudyError(
            f"{study.readings} was read with {name} = {before[name]}, {study.path} now says"
            f" {now[name]}; run {repair} again"
        )


def read_companion(study: Study, stage: str, repair: str, kind: type[F]) -> F:
    """Read and check what a command wrote beside the raw folder of a study.

    Parameters
    ----------
    study : ingest.study.Study
    stage : {"hyra", "phantoms", "readings"}
    repair : str
        The command that writes it.
    kind : type
        `CompanionFolder` or of its kind.

    Returns
    -------
    CompanionFolder

    Raises
    ------
    StudyError
        The folder is unfinished, of another version, or a file is not as it was written.
    """
    folder = study.output / stage
    if not folder.exists():
        return kind(stage)
    manifest = read_manifest(folder / MANIFEST, repair)
    check_vouched(study.output, stage, repair)
    version = manifest["recipe"].get("schema_version")
    if manifest["kind"] != stage or version != SCHEMA_VERSION:
        raise StudyError(
            f"{folder} holds {manifest['kind']} of schema version {version}; expected {stage} of"
            f" {SCHEMA_VERSION}: run {repair} again"
        )
    files = {table: folder / f"{table}.parquet" for table in COMPANIONS[stage]}
    sha256 = {table: manifest["files"].get(path.name, "") for table, path in files.items()}
    for table, path in files.items():
        if not path.is_file() or hash_file(path) != sha256[table]:
            raise StudyError(f"{path} is not as it was written; run {repair} again")
    inputs = manifest["recipe"].get("inputs", {})
    return kind(
        stage,
        files,
        sha256,
        inputs.get("sources", {}),
        manifest["content_sha256"],
        hash_file(folder / MANIFEST),
    )


def create_companion_views(database: Path, companion: CompanionFolder) -> None:
    """Add a companion's tables to the raw schema of a build database; without rows if it has none.

    Parameters
    ----------
    database : Path
    companion : CompanionFolder
    """
    files = {table: plain_path(path) for table, path in companion.files.items()}
    with open_build(database, {path.parent for path in files.values()}) as connection:
        connection.execute("create schema if not exists raw")
        for table in COMPANIONS[companion.stage]:
            if table in files:
                create_file_view(connection, table, files[table])
            else:
                create_empty_table(connection, table)
