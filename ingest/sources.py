"""Source files by their name within the study: the names that hash lists and proofs use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import name_within, to_text, walk_files
from upscale_audit.ingest.published import detect_kind
from upscale_audit.ingest.published_blocks import list_files, name_file, name_shard
from upscale_audit.ingest.units import INPUT_KEY

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study
    from upscale_audit.ingest.units import UnitManifest


_PUBLISHED_TABLES = {
    "results": "published_results",
    "locations": "published_locations",
    "comparison": "published_comparisons",
}
MASK = "mask"
"""What names of masks begin with: label images, as other images, or a CSV."""
BLOCK_FILES = "published_block_files"
"""Raw table of what published block tables are, and how their hashes were checked."""


def name_source(row: Mapping[str, Any]) -> str:
    """Name an image file: ``reference/...``, ``lr/...``, ``mask/...``, ``restored/<model>/...``."""
    if row["role"] != "restored":
        return f"{row['role']}/{row['file_name']}"
    return f"restored/{row['model_id']}/{row['inference_path']}/{row['file_name']}"


def list_unit_sources(manifest: UnitManifest) -> dict[str, tuple[str | None, str]]:
    """List what a unit read.

    Parameters
    ----------
    manifest : dict
        The unit's.

    Returns
    -------
    dict
        ``(model_id or None, SHA-256)`` by name; unreadable files have no hash and are left out.
    """
    sources = {}
    for entry in manifest["inputs"]:
        row = dict(zip(INPUT_KEY, entry["key"], strict=True))
        if entry["file_sha256"] is not None:
            sources[name_source(row)] = (row["model_id"], entry["file_sha256"])
    return sources


def merge_unit_sources(manifests: Iterable[UnitManifest]) -> dict[str, str]:
    """List what all units read, each file once.

    Parameters
    ----------
    manifests : iterable of dict
        The units'.

    Returns
    -------
    dict
        SHA-256 by name.

    Raises
    ------
    StudyError
        Two units read a file when it had different bytes: their numbers are of two images.
    """
    sources: dict[str, str] = {}
    for manifest in manifests:
        for name, (_, sha256) in list_unit_sources(manifest).items():
            if sources.setdefault(name, sha256) != sha256:
                raise StudyError(
                    f"{name} was replaced between two units that read it (SHA-256"
                    f" {sources[name]}, then {sha256}): run upscale-audit ingest again, which"
                    " measures anew what came from the older file"
                )
    return sources


def list_table_sources(study: Study) -> dict[str, tuple[Path, str]]:
    """List the files beside the images: labels, boxes, a CSV of masks and published results.

    Returns
    -------
    dict
        ``(path, raw table)`` by name.
    """
    files = {}
    patients = None if study.patients is None else study.patients.file
    for table, path in (
        ("labels", study.label_entries),
        ("labels", patients),
        ("boxes", study.label_boxes),
        (MASK, None if study.regions is None else study.regions.chexmask),
    ):
        if path is not None:
            files[f"{table}/{to_text(path.name)}"] = (path, table)
    for item in study.published:
        table = _PUBLISHED_TABLES[detect_kind(item.file)]
        files[f"{table}/{item.label}/{to_text(item.file.name)}"] = (item.file, table)
    for entry in study.published_blocks:
        for name, path in list_files(entry).items():
            files[name_file(entry, name)] = (path, BLOCK_FILES)
        if entry.hashes is not None:
            files[name_file(entry, to_text(entry.hashes.name))] = (entry.hashes, BLOCK_FILES)
    return files


def find_block_shards(study: Study) -> dict[str, str]:
    """Find which raw file each published block table is streamed into, by source name."""
    return {
        name_file(entry, name): name_shard(number, entry)
        for number, entry in enumerate(study.published_blocks)
        for name in list_files(entry)
    }


def find_sources(study: Study) -> dict[str, Path]:
    """Find where each source file of a study lies.

    Returns
    -------
    dict
        Path by name, of every file in the study's folders and every file it names.
    """
    folders = {} if study.references is None else {"reference": study.references}
    if study.lr is not None and study.lr.folder is not None:
        folders["lr"] = study.lr.folder
    if study.regions is not None and study.regions.folder is not None:
        folders[MASK] = study.regions.folder
    for model in study.models:
        for inference_path in ("notta", "tta"):
            folder = model.folder(inference_path)
            if folder is not None and folder.is_dir():  # restore may have yet to make it
                folders[f"restored/{model.model_id}/{inference_path}"] = folder
    found = {
        f"{name}/{name_within(path, folder)}": path
        for name, folder in folders.items()
        for path in walk_files(folder, {*folders.values(), study.output} - {folder})
        if path.is_file()
    }
    return found | {name: path for name, (path, _) in list_table_sources(study).items()}
