"""Manifests: what a stage wrote, from what, by which recipe; and the lists `sha256sum` checks.

Every stage's manifest has the same fields. `recipe_sha256` names what decides the bytes (inputs,
parameters, code, pinned dependencies), `content_sha256` the bytes themselves. Neither holds a time
or a folder of this machine.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

from upscale_audit.ingest.documents import check_shape, read_document
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, hash_json, write_text
from upscale_audit.ingest.merkle import find_root

MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
SOURCES = "sources.sha256"
"""In the raw folder: one line per source file, by its name within the study."""
WAREHOUSE_MANIFEST = "warehouse.manifest.json"
"""Beside the database; it names the units that a build took in, for ingest to compare."""


class SealedFiles(TypedDict):
    """What every stage's manifest says of its files."""

    kind: str
    study: str
    recipe_sha256: str
    content_sha256: str
    merkle_root: str
    parents: dict[str, str]
    files: dict[str, str]
    bytes: dict[str, int]


class Manifest(SealedFiles):
    """What every stage says of itself: `make_manifest`."""

    recipe: dict[str, Any]


class Code(TypedDict):
    """What `describe_code` says."""

    version: str | None
    sha256: str


class RawRecipe(TypedDict):
    """What decides a raw folder, as far as later stages read it."""

    code: Code


class RawManifest(SealedFiles):
    """The raw folder's: what a build needs to know beside its files."""

    recipe: RawRecipe
    schema_version: int
    models: list[str]
    has_published: bool
    source_count: int
    sources_root: str
    block_shards: list[str]


class BuildInputs(TypedDict, total=False):
    """Content hashes of what a build read."""

    raw: str
    hyra: str
    phantoms: str
    readings: str
    frozen: str
    detectors: str


class BuildRecipe(TypedDict, total=False):
    """What decides a warehouse, as far as later stages read it."""

    inputs: BuildInputs


class WarehouseManifest(SealedFiles):
    """A warehouse's, with the SHA-256 of each unit it was built from."""

    recipe: BuildRecipe
    units: dict[str, str]


class CompanionInputs(TypedDict, total=False):
    """What HyRA was measured on, known truth was drawn into, or readers read."""

    sources: dict[str, str]


class CompanionRecipe(TypedDict, total=False):
    """What decides tables beside the raw folder, as far as a build reads it."""

    schema_version: int
    inputs: CompanionInputs


class CompanionManifest(SealedFiles):
    """That of HyRA's folder, of a phantom study's and of readings."""

    recipe: CompanionRecipe


SHAPES = {
    "raw": RawManifest,
    "warehouse": WarehouseManifest,
    "hyra": CompanionManifest,
    "phantoms": CompanionManifest,
    "readings": CompanionManifest,
}
"""Of kinds that say more than `Manifest`."""

_ROOT = Path(__file__).resolve().parent.parent
_CODE = (".py", ".sql", ".yml", ".csv", ".md")
_NO_NUMBER = "cli"
"""A folder whose code says and asks, and decides no byte of what is written."""


@functools.cache
def describe_code(package: str, *patterns: str) -> Code:
    """Name a package's code: the project's version and a hash over what can change a number.

    Parameters
    ----------
    package : str
        A folder beside this one, such as ``ingest``.
    *patterns : str
        Which of its files, by default all but the command line's; ``*`` leaves out what lies in
        folders of their own.

    Returns
    -------
    dict
        ``version``, and ``sha256`` over every source file's name and SHA-256.
    """
    folder = _ROOT / package
    files = {
        path.relative_to(folder).as_posix(): hash_file(path)
        for pattern in patterns or ("**/*",)
        for path in sorted(folder.glob(pattern))
        if path.suffix in _CODE and not path.name.startswith(".") and path.is_file()
        if path.relative_to(folder).parts[0] != _NO_NUMBER
    }
    return {"version": _find_version(), "sha256": hash_json(files)}


def _find_version() -> str | None:
    try:
        return importlib.metadata.version("upscale-audit")
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def hash_dependencies() -> str | None:
    """SHA-256 of constraints.txt; None where the project was installed without it."""
    path = _ROOT / "constraints.txt"
    return hash_file(path) if path.is_file() else None


def format_sum(sha256: str, name: str) -> str:
    r"""One line of a hash list, as GNU ``sha256sum`` writes it (``\n`` and ``\`` escaped)."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "" if escaped == name else "\\"
    return f"{mark}{sha256}  {escaped}\n"


def format_sums(files: Mapping[str, str]) -> str:
    """Text of a hash list: a line per file, in the order of the names."""
    return "".join(format_sum(files[name], name) for name in sorted(files))


def find_files_root(files: Mapping[str, str]) -> str:
    """Merkle root over the lines of a hash list."""
    return find_root(format_sums(files).encode("utf-8").splitlines(keepends=True))


def make_manifest(
    kind: str,
    study_name: str,
    files: Mapping[str, str],
    sizes: Mapping[str, int],
    recipe: dict[str, Any],
    parents: Mapping[str, str],
) -> Manifest:
    """Describe what a stage wrote.

    Parameters
    ----------
    kind : str
        The stage: raw, hyra, phantoms, readings, warehouse, exports, figures, maps, docs or paper.
    study_name : str
    files : dict
        SHA-256 by name.
    sizes : dict
        Bytes by name.
    recipe : dict
        What decides the bytes.
    parents : dict
        SHA-256 of the manifests before this one, by their name.

    Returns
    -------
    dict
    """
    listed = {name: sha256 for name, sha256 in files.items() if name != SUMS}
    return {
        "kind": kind,
        "study": study_name,
        "recipe": recipe,
        "recipe_sha256": hash_json(recipe),
        "content_sha256": hash_json(files),
        "merkle_root": find_files_root(listed),
        "parents": dict(parents),
        "files": dict(sorted(files.items())),
        "bytes": dict(sorted(sizes.items())),
    }


def restate(manifest: Manifest | RawManifest) -> dict[str, str]:
    """Compute what a manifest says of itself anew: its recipe's hash, its files' hash and root."""
    listed = {name: sha256 for name, sha256 in manifest["files"].items() if name != SUMS}
    return {
        "recipe_sha256": hash_json(manifest["recipe"]),
        "content_sha256": hash_json(manifest["files"]),
        "merkle_root": find_files_root(listed),
    }


def seal_folder(
    folder: Path,
    kind: str,
    study_name: str,
    names: Iterable[str],
    recipe: dict[str, Any],
    parents: Mapping[str, str],
) -> Manifest:
    """Write a folder's SHA256SUMS, then its manifest.

    Parameters
    ----------
    folder : Path
    kind, study_name : str
    names : iterable of str
        The files to list, relative to the folder, with ``/``.
    recipe, parents : dict
        As `make_manifest` takes them.

    Returns
    -------
    dict
        The manifest.
    """
    (folder / MANIFEST).unlink(missing_ok=True)
    names = list(names)
    # SHA-256 runs outside Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sums = pool.map(hash_file, (folder / name for name in names))
        files = dict(zip(names, sums, strict=True))
    write_text(folder / SUMS, format_sums(files))
    files[SUMS] = hash_file(folder / SUMS)
    sizes = {name: (folder / name).stat().st_size for name in files}
    manifest = make_manifest(kind, study_name, files, sizes, recipe, parents)
    write_manifest(folder / MANIFEST, manifest)
    return manifest


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest atomically."""
    write_text(path, _spell(manifest))


def hash_manifest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of the file that a manifest is written to."""
    return hashlib.sha256(_spell(manifest).encode("utf-8")).hexdigest()


def _spell(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=1) + "\n"


def read_manifest(path: Path, repair: str) -> Manifest:
    """Read a stage's manifest.

    Parameters
    ----------
    path : Path
    repair : str
        The command that writes it anew.

    Returns
    -------
    dict

    Raises
    ------
    StudyError
        There is none, or it is no manifest.
    """
    try:
        manifest = read_document(path, Manifest)
        check_shape(manifest, SHAPES.get(manifest["kind"], Manifest))
    except FileNotFoundError:
        raise StudyError(f"no {path}: run {repair} first") from None
    except OSError as error:
        raise StudyError(f"cannot read {path}: {error.strerror}; run {repair} again") from None
    except ValueError as error:
        raise StudyError(
            f"{path} is no manifest of this version: {error}; run {repair} again"
        ) from None
    return manifest
