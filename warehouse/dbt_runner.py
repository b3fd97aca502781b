"""dbt on the project's models, in this process."""

import contextlib
import gc
import json
import os
from dataclasses import asdict
from pathlib import Path

from upscale_audit.ingest.errors import StudyError
from upscale_audit.warehouse.connect import THREADS, check_disk, memory_limit

PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"


def run_dbt(
    study, database, arguments, threads=None, progress=None, variables=None, target="build"
):
    """Run a dbt command on a database with a study's parameters, in this process.

    Returns
    -------
    list
        dbt's results.
    """
    folder = study.output / "dbt"
    environment = {
        "UPSCALE_AUDIT_DB": str(database),
        "UPSCALE_AUDIT_THREADS": str(threads or THREADS),
        "UPSCALE_AUDIT_MEMORY": memory_limit(),
        "UPSCALE_AUDIT_TEMP": str(folder / "spill"),
    }
    variables = json.dumps(asdict(study.analysis_parameters) | (variables or {}))
    arguments = [*arguments, "--target", target, "--vars", variables]
    with _environment(environment):
        return invoke_dbt(arguments, folder, progress)


def invoke_dbt(arguments, folder, progress=None):
    """Run a dbt command on the project, quietly, its artefacts under `folder`.

    Returns
    -------
    list
        dbt's results.

    Raises
    ------
    StudyError
        A dbt model or test failed, named with its first lines.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    def announce(event):
        if progress is None:
            return
        if event.info.name == "LogModelResult":
            progress(event.data.index, event.data.total, event.data.node_info.node_name)
        elif event.info.name == "LogTestResult":
            progress(event.data.index, event.data.num_models, event.data.node_info.node_name)

    result = dbtRunner(callbacks=[announce]).invoke(
        [
            *arguments,
            "--project-dir",
            str(PROJECT),
            "--profiles-dir",
            str(PROJECT),
            "--target-path",
            str(folder / "target"),
            "--log-path",
            str(folder / "logs"),
            "--log-level",
            "none",
        ]
    )
    # dbt-duckdb keeps its database open for the next run in this process; no one else could.
    DuckDBConnectionManager.close_all_connections()
    gc.collect()
    if isinstance(result.exception, KeyboardInterrupt):
        raise result.exception
    if result.exception is not None:
        check_disk(folder, result.exception)
        raise StudyError(f"dbt could not run: {result.exception}") from result.exception
    results = list(getattr(result.result, "results", None) or [])
    failed = [item for item in results if str(item.status) in ("error", "fail")]
    if failed:
        check_disk(folder, None, "\n".join(item.message or "" for item in failed))
        what = "; ".join(
            f"{item.node.name}: {' '.join((item.message or '').split())[:300]}"
            for item in failed[:3]
        )
        raise StudyError(
            f"{len(failed)} dbt nodes failed: {what}; the published warehouse is as it was,"
            f" {folder / 'target'} holds the compiled SQL and run_results.json"
        )
    return results


@contextlib.contextmanager
def _environment(values):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
