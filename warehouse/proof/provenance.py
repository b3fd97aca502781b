"""What each stage was made from: recipes, manifests, and the roots that a paper can print.

A recipe's `arguments` are what its command was given after the study; a repair repeats them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import (
    MANIFEST,
    WAREHOUSE_MANIFEST,
    Manifest,
    RawManifest,
    describe_code,
    hash_dependencies,
    make_manifest,
    read_manifest,
    seal_folder,
    write_manifest,
)
from upscale_audit.warehouse.proof.hashing import hash_files

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study
    from upscale_audit.warehouse.companions import CompanionFolder


DOCS_MANIFEST = "docs.manifest.json"
REPORTS = {
    "en": ("report", "report.html", "report.manifest.json"),
    "ja": ("report_ja", "report.ja.html", "report.ja.manifest.json"),
}
"""Kind, page and manifest of the report in each language: one lies beside the other."""
UNCHECKED = "warehouse_unchecked"
"""In the recipe of what was made from a warehouse whose hash nobody asked for."""
EXPORTS_MANIFEST, FIGURES_MANIFEST = "exports.manifest.json", "figures.manifest.json"
"""Beside ``exports/`` and ``figures/``: from which warehouse file those were made. Its bytes differ
from build to build of the same inputs, and so would theirs, were it named in one of them."""
LINKS = {"exports": ("exported", EXPORTS_MANIFEST), "figures": ("drawn", FIGURES_MANIFEST)}
"""Kind and name of the manifest beside a folder, by the folder's kind."""
STANDARD_BASIS, OWN_BASIS, FROZEN_BASIS = "standard-1", "pooled", "frozen"
"""Names of the bases that may score, as `mart_pca_basis` has them."""


def describe_axis(study: Study) -> dict[str, Any]:
    """Say, in dbt's variables, which basis scores, and which models the study's own is fitted on.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    dict
    """
    basis = {"standard": STANDARD_BASIS, "own": OWN_BASIS}[study.axis]
    return {
        "scoring_basis": basis if study.frozen is None else FROZEN_BASIS,
        "axis_models": list(study.axis_models),
    }


def describe_study(study: Study) -> dict[str, Any]:
    """Give all dbt variables that are no number: the axis, what models are, what there is at all.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    dict
    """
    known = {"has_lr": study.lr is not None, "has_composites": bool(study.composites)}
    return describe_axis(study) | describe_models(study) | known


def describe_models(study: Study) -> dict[str, Any]:
    """Give the tile of each model that declares one, in px, and which are controls.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    dict
    """
    tiles = {model.model_id: model.tile_px for model in study.models if model.tile_px is not None}
    controls = [model.model_id for model in study.models if model.is_control]
    return {"model_tiles": tiles, "control_models": controls}


def describe_build(
    study: Study,
    raw_manifest: RawManifest,
    companions: Sequence[CompanionFolder],
    named: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Name what decides the content of a warehouse.

    Parameters
    ----------
    study : ingest.study.Study
    raw_manifest : dict
    companions : sequence of warehouse.companions.CompanionFolder
    named : dict, optional
        SHA-256 of the files that the study names for it, or None where it names none.

    Returns
    -------
    dict
    """
    inputs = {"raw": raw_manifest["content_sha256"]}
    for companion in companions:
        if companion.content_sha256 is not None:
            inputs[companion.stage] = companion.content_sha256
    inputs |= {name: sha256 for name, sha256 in (named or {}).items() if sha256 is not None}
    return {
        "parameters": asdict(study.analysis_parameters),
        "axis": describe_axis(study),
        "models": describe_models(study),
        "has_lr": study.lr is not None,
        "composites": [list(item) for item in study.composites],
        "code": describe_code("warehouse"),
        "dbt_project_sha256": describe_code("dbt_project")["sha256"],
        "duckdb_version": duckdb.__version__,
        "dependencies_sha256": hash_dependencies(),
        "inputs": inputs,
    }


def describe_warehouse(
    study: Study,
    files: Mapping[str, str],
    sizes: Mapping[str, int],
    recipe: dict[str, Any],
    raw_manifest: RawManifest,
    companions: Sequence[CompanionFolder],
) -> dict[str, Any]:
    """Make the manifest of a database that is about to be published.

    Parameters
    ----------
    study : ingest.study.Study
    files, sizes : dict
        Its SHA-256 and its bytes, by the name it will have.
    recipe, raw_manifest : dict
    companions : sequence of warehouse.companions.CompanionFolder

    Notes
    -----
    Equal content may lie in different bytes: DuckDB's file depends on the order in which its
    threads wrote. Exports, which are ordered, are the same bytes on every rebuild.
    """
    parents = {f"raw/{MANIFEST}": hash_file(study.raw / MANIFEST)}
    for companion in companions:
        if companion.manifest_sha256 is not None:
            parents[f"{companion.stage}/{MANIFEST}"] = companion.manifest_sha256
    units = {
        file: sha256 for file, sha256 in raw_manifest["files"].items() if file.startswith("units/")
    }
    manifest = make_manifest(
        "warehouse",
        study.name,
        files,
        sizes,
        recipe,
        parents,
    )
    return manifest | {"units": units}


@dataclass(frozen=True)
class Parent:
    """The warehouse that something is made from: its recipe, and its manifest's SHA-256."""

    recipe_sha256: str
    manifest_sha256: str


CHECKS = ("hash", "skip", "built")


def check_warehouse(study: Study, check: str = "hash", can_skip: bool = True) -> dict[str, Any]:
    """Check that the warehouse is, byte for byte, the one that was published.

    Parameters
    ----------
    study : ingest.study.Study
    check : {"hash", "skip", "built"}
        Hash it, which takes about 2 s a GB; do not, and have that recorded; or take it that this
        process published it just now.
    can_skip : bool
        Whether the command that asks has ``--no-check``: one whose result has no manifest has not.

    Returns
    -------
    dict
        What a recipe says of it: nothing, unless the check was skipped.

    Raises
    ------
    StudyError
        There is none, it has no manifest, or it was changed after its build.
    ValueError
        `check` is none of the three.
    """
    if check not in CHECKS:
        raise ValueError(f"check = {check!r}; expected {CHECKS}")
    repair = f"upscale-audit build {study.path}"
    if not study.warehouse.is_file():
        raise StudyError(f"no warehouse at {study.warehouse}; run {repair} first")
    if check == "skip":
        return {UNCHECKED: True}
    path = study.output / WAREHOUSE_MANIFEST
    expected = read_manifest(path, repair)["files"].get(study.warehouse.name)
    if check == "built":
        return {}
    found = hash_files([study.warehouse])[study.warehouse]
    if found != expected:
        if read_manifest(path, repair)["files"].get(study.warehouse.name) != expected:
            raise StudyError(
                f"{study.warehouse} was published anew while it was checked; run this again"
            )
        skip = ", or give --no-check to read it all the same, which is recorded" if can_skip else ""
        raise StudyError(
            f"{study.warehouse} is not as it was published: expected SHA-256 {expected}, found"
            f" {found}; run {repair}{skip}"
        )
    return {}


def find_parent(study: Study) -> Parent:
    """Find the warehouse that stands.

    Returns
    -------
    Parent

    Raises
    ------
    StudyError
        It has no manifest: its build did not end.
    """
    path = study.output / WAREHOUSE_MANIFEST
    manifest = read_manifest(path, f"upscale-audit build {study.path}")
    return Parent(manifest["recipe_sha256"], hash_file(path))


def find_same_parent(study: Study, folder: Path, parent: Parent | None = None) -> Parent:
    """Find the warehouse that stands, which must be the one that stood when the work began.

    Parameters
    ----------
    study : ingest.study.Study
    folder : Path
        What was written.
    parent : Parent, optional
        The warehouse as it stood; by default as it stands.

    Returns
    -------
    Parent

    Raises
    ------
    StudyError
        The warehouse has no manifest, or is no longer the one it was.
    """
    found = find_parent(study)
    if parent not in (None, found):
        raise StudyError(
            f"{study.warehouse} was published anew while {folder} was written; run this again"
        )
    return found


def _join_parent(recipe: dict[str, Any], parent: Parent) -> tuple[dict[str, Any], dict[str, str]]:
    """Recipe and parents of what was made from a warehouse."""
    recipe = recipe | {"dependencies_sha256": hash_dependencies()}
    recipe["inputs"] = recipe.get("inputs", {}) | {"warehouse": parent.recipe_sha256}
    return recipe, {WAREHOUSE_MANIFEST: parent.manifest_sha256}


def seal_exports(
    study: Study,
    folder: Path,
    tables: Iterable[str],
    names: Sequence[str],
    arguments: Sequence[Any],
    checked: dict[str, Any],
) -> Manifest:
    """Sign off exported tables, and the published files in their language.

    `checked` is what `check_warehouse` said.

    Returns
    -------
    dict
        The manifest. It names the warehouse by its recipe only: `link_output` says which file.
    """
    recipe = {
        "arguments": arguments,
        "tables": sorted(tables),
        "code": describe_code("warehouse"),
        "duckdb_version": duckdb.__version__,
    } | checked
    recipe, _ = _join_parent(recipe, find_parent(study))
    return seal_folder(folder, "exports", study.name, names, recipe, {})


def link_output(study: Study, manifest: Manifest, parent: Parent) -> None:
    """Say, beside a folder in its place, from which warehouse file it was made.

    Parameters
    ----------
    study : ingest.study.Study
    manifest : dict
        The folder's, of a kind in `LINKS`.
    parent : Parent
    """
    folder = manifest["kind"]
    kind, beside = LINKS[folder]
    path, name = study.output / folder / MANIFEST, f"{folder}/{MANIFEST}"
    recipe = {
        "arguments": manifest["recipe"]["arguments"],
        "inputs": {folder: manifest["recipe_sha256"]},
    }
    parents = {WAREHOUSE_MANIFEST: parent.manifest_sha256}
    files, sizes = {name: hash_file(path)}, {name: path.stat().st_size}
    linked = make_manifest(kind, study.name, files, sizes, recipe, parents)
    write_manifest(study.output / beside, linked)


def seal_figures(
    study: Study,
    paths: Iterable[Path],
    parent: Parent | None = None,
    arguments: Sequence[str] = (),
    checked: dict[str, Any] | None = None,
) -> None:
    """Sign off drawn figures, and say beside them which warehouse file they show.

    Parameters
    ----------
    study : ingest.study.Study
    paths : iterable of Path
        In ``figures/``.
    parent : Parent, optional
        The warehouse as it stood when the work began; by default as it stands.
    arguments : sequence of str
    checked : dict, optional
        What `check_warehouse` said.

    Raises
    ------
    StudyError
        The warehouse is no longer the one it was.
    """
    folder = study.output / "figures"
    parent = find_same_parent(study, folder, parent)
    names = [path.relative_to(folder).as_posix() for path in paths]
    recipe = {"arguments": list(arguments), "code": describe_code("analysis")} | (checked or {})
    recipe, _ = _join_parent(recipe, parent)
    (study.output / FIGURES_MANIFEST).unlink(missing_ok=True)
    link_output(study, seal_folder(folder, "figures", study.name, names, recipe, {}), parent)


def seal_map(
    study: Study,
    paths: Sequence[Path],
    command: str,
    arguments: Sequence[str],
    sources: Mapping[str, str],
    parent: Parent | None,
    checked: dict[str, Any],
) -> Manifest:
    """Sign off a map or a contact sheet, which has a folder of its own.

    Parameters
    ----------
    study : ingest.study.Study
    paths : sequence of Path
        Its files, all in one folder.
    command : {"map", "worst"}
    arguments : list of str
    sources : dict
        SHA-256 of each image that was read, by its name within the study.
    parent : Parent or None
        None where a map was drawn before the first build.
    checked : dict
        What `check_warehouse` said.

    Returns
    -------
    dict
        The manifest.
    """
    folder, names = paths[0].parent, [path.name for path in paths]
    recipe = {
        "command": command,
        "arguments": arguments,
        "code": describe_code("analysis"),
        "inputs": {"sources": sources},
    } | checked
    if parent is None:
        recipe["dependencies_sha256"] = hash_dependencies()
        return seal_folder(folder, "maps", study.name, names, recipe, {})
    recipe, parents = _join_parent(recipe, find_same_parent(study, folder, parent))
    return seal_folder(folder, "maps", study.name, names, recipe, parents)


def seal_report(
    study: Study,
    language: str,
    parent: Parent | None,
    arguments: Sequence[str],
    sources: Mapping[str, str],
    checked: dict[str, Any],
) -> Manifest:
    """Sign off the report by a manifest beside it.

    Parameters
    ----------
    study : ingest.study.Study
    language : str
        Of `REPORTS`.
    parent : Parent
        The warehouse as it stood when the work began.
    arguments : list of str
    sources : dict
        SHA-256 of each image that is shown.
    checked : dict
        What `check_warehouse` said.

    Raises
    ------
    StudyError
        The warehouse is no longer the one it was.
    """
    kind, name, beside = REPORTS[language]
    page = study.output / name
    recipe = {
        "arguments": arguments,
        "code": describe_code("analysis"),
        "inputs": {"sources": sources},
    } | checked
    recipe, parents = _join_parent(recipe, find_same_parent(study, page, parent))
    files, sizes = {name: hash_file(page)}, {name: page.stat().st_size}
    manifest = make_manifest(kind, study.name, files, sizes, recipe, parents)
    write_manifest(study.output / beside, manifest)
    return manifest


def seal_docs(study: Study, page: Path) -> Manifest:
    """Sign off the page of the tables by a manifest beside it."""
    recipe = {
        "parameters": asdict(study.analysis_parameters),
        "code": describe_code("warehouse"),
        "dbt_project_sha256": describe_code("dbt_project")["sha256"],
    }
    recipe, parents = _join_parent(recipe, find_parent(study))
    files, sizes = {page.name: hash_file(page)}, {page.name: page.stat().st_size}
    manifest = make_manifest("docs", study.name, files, sizes, recipe, parents)
    write_manifest(study.output / DOCS_MANIFEST, manifest)
    return manifest
