"""What each stage was made from: recipes, manifests, and the roots that a paper can print."""

from dataclasses import asdict

import duckdb

from ingest.files import hash_file
from ingest.manifests import (
    MANIFEST,
    describe_code,
    hash_dependencies,
    make_manifest,
    read_manifest,
    seal_folder,
)

WAREHOUSE_MANIFEST = "warehouse.manifest.json"


def describe_build(study, raw_manifest):
    """Name what decides the content of a warehouse."""
    return {
        "parameters": asdict(study.analysis_parameters),
        "code": describe_code("warehouse"),
        "dbt_project_sha256": describe_code("dbt_project")["sha256"],
        "duckdb_version": duckdb.__version__,
        "dependencies_sha256": hash_dependencies(),
        "inputs": {"raw": raw_manifest["content_sha256"]},
    }


def describe_warehouse(study, database, recipe):
    """Make the manifest of a database that is about to be published.

    Notes
    -----
    Equal content may lie in different bytes: DuckDB's file depends on the order in which its
    threads wrote. Exports, which are ordered, are the same bytes on every rebuild.
    """
    name = study.warehouse.name
    return make_manifest(
        "warehouse",
        study.name,
        {name: hash_file(database)},
        {name: database.stat().st_size},
        recipe,
        {f"raw/{MANIFEST}": hash_file(study.raw / MANIFEST)},
    )


def seal_output(study, folder, kind, names, recipe):
    """Sign off a folder made from the study's warehouse.

    Parameters
    ----------
    study : ingest.study.Study
    folder : Path
    kind : {"exports", "figures"}
    names : iterable of str
        Its files.
    recipe : dict
        What decides them beside the warehouse and the pinned dependencies.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    StudyError
        The warehouse has no manifest: its build did not end.
    """
    path = study.output / WAREHOUSE_MANIFEST
    warehouse = read_manifest(path, f"upscale-audit build {study.path}")
    whole = recipe | {
        "dependencies_sha256": hash_dependencies(),
        "inputs": {"warehouse": warehouse["recipe_sha256"]},
    }
    parents = {WAREHOUSE_MANIFEST: hash_file(path)}
    return seal_folder(folder, kind, study.name, names, whole, parents)


def seal_exports(study, folder, tables, names, labels):
    """Sign off exported tables, and the published files in their language."""
    recipe = {
        "tables": sorted(tables),
        "labels": labels,
        "code": describe_code("warehouse"),
        "duckdb_version": duckdb.__version__,
    }
    return seal_output(study, folder, "exports", names, recipe)


def seal_figures(study, paths):
    """Sign off drawn figures."""
    folder = study.output / "figures"
    names = [path.relative_to(folder).as_posix() for path in paths]
    return seal_output(study, folder, "figures", names, {"code": describe_code("analysis")})
