"""What each stage was made from: recipes, manifests, and the roots that a paper can print.

A recipe's `arguments` are what its command was given after the study; a repair repeats them.
"""

from dataclasses import asdict, dataclass

import duckdb

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import (
    MANIFEST,
    describe_code,
    hash_dependencies,
    make_manifest,
    read_manifest,
    seal_folder,
    write_manifest,
)

STANDARD_BASIS, OWN_BASIS, FROZEN_BASIS = "standard-1", "pooled", "frozen"
"""Names of the bases that may score, as `mart_pca_basis` has them."""

WAREHOUSE_MANIFEST, DOCS_MANIFEST = "warehouse.manifest.json", "docs.manifest.json"


def describe_axis(study):
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


def describe_build(study, raw_manifest, hyra, frozen_sha256=None):
    """Name what decides the content of a warehouse."""
    inputs = {"raw": raw_manifest["content_sha256"]}
    if hyra.content_sha256 is not None:
        inputs["hyra"] = hyra.content_sha256
    if frozen_sha256 is not None:
        inputs["frozen"] = frozen_sha256
    return {
        "parameters": asdict(study.analysis_parameters),
        "axis": describe_axis(study),
        "code": describe_code("warehouse"),
        "dbt_project_sha256": describe_code("dbt_project")["sha256"],
        "duckdb_version": duckdb.__version__,
        "dependencies_sha256": hash_dependencies(),
        "inputs": inputs,
    }


def describe_warehouse(study, database, recipe, hyra):
    """Make the manifest of a database that is about to be published.

    Notes
    -----
    Equal content may lie in different bytes: DuckDB's file depends on the order in which its
    threads wrote. Exports, which are ordered, are the same bytes on every rebuild.
    """
    name = study.warehouse.name
    parents = {f"raw/{MANIFEST}": hash_file(study.raw / MANIFEST)}
    if hyra.manifest_sha256 is not None:
        parents[f"hyra/{MANIFEST}"] = hyra.manifest_sha256
    return make_manifest(
        "warehouse",
        study.name,
        {name: hash_file(database)},
        {name: database.stat().st_size},
        recipe,
        parents,
    )


@dataclass(frozen=True)
class Parent:
    """The warehouse that something is made from: its recipe, and its manifest's SHA-256."""

    recipe_sha256: str
    manifest_sha256: str


def find_parent(study):
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


def seal_output(study, folder, kind, names, recipe, parent=None):
    """Sign off a folder made from the study's warehouse.

    Parameters
    ----------
    study : ingest.study.Study
    folder : Path
    kind : {"exports", "figures", "maps"}
    names : iterable of str
        Its files.
    recipe : dict
        What decides them beside the warehouse and the pinned dependencies.
    parent : Parent, optional
        The warehouse as it stood when the work began; by default as it stands.

    Returns
    -------
    dict
        The manifest.

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
    return seal_folder(folder, kind, study.name, names, *_join_parent(recipe, found))


def _join_parent(recipe, parent):
    """Recipe and parents of what was made from a warehouse."""
    recipe = recipe | {"dependencies_sha256": hash_dependencies()}
    recipe["inputs"] = recipe.get("inputs", {}) | {"warehouse": parent.recipe_sha256}
    return recipe, {WAREHOUSE_MANIFEST: parent.manifest_sha256}


def seal_exports(study, folder, tables, names, arguments):
    """Sign off exported tables, and the published files in their language."""
    recipe = {
        "arguments": arguments,
        "tables": sorted(tables),
        "code": describe_code("warehouse"),
        "duckdb_version": duckdb.__version__,
    }
    return seal_output(study, folder, "exports", names, recipe)


def seal_figures(study, paths, parent=None, arguments=()):
    """Sign off drawn figures."""
    folder = study.output / "figures"
    names = [path.relative_to(folder).as_posix() for path in paths]
    recipe = {"arguments": list(arguments), "code": describe_code("analysis")}
    return seal_output(study, folder, "figures", names, recipe, parent)


def seal_map(study, paths, command, arguments, sources, parent):
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
    }
    if parent is None:
        recipe["dependencies_sha256"] = hash_dependencies()
        return seal_folder(folder, "maps", study.name, names, recipe, {})
    return seal_output(study, folder, "maps", names, recipe, parent)


def seal_docs(study, page):
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
