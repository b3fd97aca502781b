"""dbt by hand, in a copy of the published warehouse: what an analyst tries harms nothing.

The copy lies in the study's output, `dev/`, with dbt's artefacts. It is made when there is none and
when what it was made from has changed, and can be removed at any time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, locked, write_text
from upscale_audit.ingest.manifests import MANIFEST
from upscale_audit.warehouse.build import create_raw, read_inputs
from upscale_audit.warehouse.companions import COMPANIONS
from upscale_audit.warehouse.connect import open_warehouse, saying_database_errors
from upscale_audit.warehouse.dbt_runner import PROJECT, hand_to_dbt, run_dbt
from upscale_audit.warehouse.growth import copy_database
from upscale_audit.warehouse.project import check_marts
from upscale_audit.warehouse.proof.provenance import WAREHOUSE_MANIFEST, describe_study

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study


FOLDER = "dev"
_DATABASE, _NOTE = "warehouse.duckdb", "made_from.json"

_OURS = (
    "--vars",
    "--target",
    "-t",
    "--profile",
    "--project-dir",
    "--profiles-dir",
    "--target-path",
    "--log-path",
)
"""dbt's options that the study and this command decide."""


def run_in_copy(study: Study, arguments: Sequence[str], say: Callable[[str], None]) -> bool:
    """Run a dbt command on a study's development copy, made first where it must be.

    Parameters
    ----------
    study : ingest.study.Study
    arguments : sequence of str
        dbt's: ``["build", "--select", "mart_ledger"]``.
    say : callable
        Takes a line for the user.

    Returns
    -------
    bool
        Whether dbt succeeded; it has said why, if not.

    Raises
    ------
    StudyError
        There is no warehouse yet, a mart states no grain, or dbt could not run.
    """
    _check_arguments(arguments)
    check_marts(PROJECT)
    folder = study.output / FOLDER
    database = folder / _DATABASE
    if not study.warehouse.is_file():
        raise StudyError(
            f"no warehouse at {study.warehouse} to copy; run upscale-audit run {study.path} first"
        )
    with locked(study.output, "ingest or build"), saying_database_errors(database):
        made_from = _describe_inputs(study)
        if _read_note(folder) != made_from:
            say(f"making {database}, a copy of the warehouse with every table behind it")
            _make_copy(study, folder, database)
            write_text(folder / _NOTE, json.dumps(made_from) + "\n")
        return hand_to_dbt(study, database, arguments, folder, describe_study(study))


def _check_arguments(arguments: Sequence[str]) -> None:
    if not arguments:
        raise StudyError("expected a dbt command after the study file, as: build")
    for argument in arguments:
        name = argument.partition("=")[0]
        if name in _OURS:
            raise StudyError(
                f"{name} is given to dbt by this command, from the study file: leave it out"
            )


def _describe_inputs(study: Study) -> dict[str, str]:
    """Hash what a copy is made from: nothing of it may be older than the study's own files."""
    files = {
        "study": study.path,
        "warehouse": study.output / WAREHOUSE_MANIFEST,
        "raw": study.raw / MANIFEST,
        "frozen": study.frozen,
        "detectors": study.detectors,
    }
    files |= {stage: study.output / stage / MANIFEST for stage in COMPANIONS}
    return {
        name: hash_file(path) for name, path in files.items() if path is not None and path.is_file()
    }


def _read_note(folder: Path) -> Any:
    """Give what the copy that is there was made from; None where none is whole."""
    try:
        return json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _make_copy(study: Study, folder: Path, database: Path) -> None:
    """Copy the published file, and make again what a publication drops: raw, staging, steps."""
    inputs = read_inputs(study)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    copy_database(study.warehouse, database)
    create_raw(database, study, inputs, inputs.manifest)
    with open_warehouse(database) as connection:
        tables = connection.sql(
            "select table_name from information_schema.tables"
            " where table_schema in ('main', 'intermediate')"
            " and regexp_full_match(table_name, '[a-z0-9_]+') order by table_name"
        ).fetchall()
    steps = ("seeds", "models/staging", "models/intermediate")
    # Of tables that are none of dbt's, as dim_tables, or no longer, it would warn.
    known = {path.stem for step in steps for path in (PROJECT / step).rglob("*.*")}
    arguments = ["build", "--resource-type", "seed", "--resource-type", "model"]
    arguments += ["--select", *(f"path:{step}" for step in steps)]
    arguments += ["--exclude", *(name for (name,) in tables if name in known)]
    run_dbt(study, database, arguments, variables=describe_study(study))
