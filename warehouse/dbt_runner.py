"""dbt on the project's models, in this process."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.plain_paths import plain_path
from upscale_audit.warehouse.companions import COMPANIONS
from upscale_audit.warehouse.connect import (
    MORE_MEMORY,
    THREADS,
    check_disk,
    memory_limit,
    open_build,
)
from upscale_audit.warehouse.parse_cache import ParseCache
from upscale_audit.warehouse.raw import PARAMETER_TEXTS

if TYPE_CHECKING:
    from re import Pattern

    from dbt.artifacts.schemas.run.v5.run import RunResult
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest
    from dbt_common.events.base_types import EventMsg

    from upscale_audit.ingest.study import Study


_log = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"

_DBT_VARIABLES = re.compile("DBT_", re.IGNORECASE)
"""dbt takes most of its options from them: a shell's may be for another project of its user."""


class MemoryLimitError(StudyError):
    """A dbt model ran out of memory; those that were finished stand."""


def run_dbt(
    study: Study,
    database: Path,
    arguments: Sequence[str],
    threads: int | None = None,
    progress: Callable[..., None] | None = None,
    variables: Mapping[str, Any] | None = None,
    carried: Mapping[str, int] | None = None,
    parts: Mapping[str, Any] | None = None,
    parsed: Manifest | None = None,
) -> list[RunResult]:
    """Run a dbt command on a database with a study's parameters, in this process.

    Parameters
    ----------
    study : ingest.study.Study
    database : Path
    arguments : sequence of str
    threads : int, optional
        DuckDB's.
    progress : callable, optional
        As `warehouse.build.build_warehouse` takes it.
    variables : dict, optional
        More dbt variables. dbt renders them as Jinja: no text of a user may be one.
    carried : dict, optional
        Rows of each table, ``schema.name``, to which this build adds.
    parts : dict, optional
        Where the tables lie that a cluster made: ``folder``, and ``tables``, by ``schema.name``,
        with the columns of each that are 128-bit integers.
    parsed : dbt.contracts.graph.manifest.Manifest, optional
        As `read_project` gives it for the same study and variables; else dbt reads it.

    Returns
    -------
    list
        dbt's results.

    Raises
    ------
    StudyError
        As `invoke_dbt`.
    """
    environment, spelt = _describe_run(study, database, threads, variables)
    environment["UPSCALE_AUDIT_CARRIED"] = json.dumps(carried or {})
    environment["UPSCALE_AUDIT_PARTS"] = json.dumps(parts or {})
    arguments = [*arguments, "--target", "build", "--vars", spelt]
    with _environment(environment):
        return invoke_dbt(arguments, study.output / "dbt", progress, database, parsed)


def read_project(study: Study, database: Path, variables: Mapping[str, Any]) -> Manifest:
    """Let dbt read its project once for several runs.

    Parameters
    ----------
    study : ingest.study.Study
    database : Path
    variables : dict
        As `run_dbt` takes them.

    Returns
    -------
    dbt.contracts.graph.manifest.Manifest

    Raises
    ------
    StudyError
        dbt could not run.
    """
    environment, spelt = _describe_run(study, database, None, variables)
    arguments = ["parse", "--no-write-json", "--target", "build", "--vars", spelt]
    with _environment(environment):
        parsed: Manifest = _invoke_quietly(arguments, study.output / "dbt").result
    return parsed


def _describe_run(
    study: Study, database: Path, threads: int | None, variables: Mapping[str, Any] | None
) -> tuple[dict[str, str], str]:
    """Give what the profile reads from the environment, and dbt's variables as JSON."""
    output = plain_path(study.output)
    folders = [output / name for name in ("raw", *COMPANIONS, "dbt/parts")]
    folders.append(plain_path(PROJECT) / "seeds")
    environment = {
        "UPSCALE_AUDIT_DB": str(plain_path(database)),
        "UPSCALE_AUDIT_THREADS": str(threads or THREADS),
        "UPSCALE_AUDIT_MEMORY": memory_limit(),
        "UPSCALE_AUDIT_TEMP": str(output / "dbt" / "spill"),
        "UPSCALE_AUDIT_FOLDERS": json.dumps([*map(str, folders)]),
    }
    numbers = {
        name: value
        for name, value in asdict(study.analysis_parameters).items()
        if name not in PARAMETER_TEXTS
    }
    return environment, json.dumps({**numbers, **(variables or {})})


def hand_to_dbt(
    study: Study,
    database: Path,
    arguments: Sequence[str],
    folder: Path,
    variables: Mapping[str, Any],
) -> bool:
    """Run a dbt command that a user typed, with dbt's own output.

    Parameters
    ----------
    study : ingest.study.Study
    database : Path
    arguments : sequence of str
    folder : Path
        For dbt's artefacts.
    variables : dict
        As `run_dbt` takes them.

    Returns
    -------
    bool
        Whether dbt succeeded; it has said why, if not.

    Raises
    ------
    StudyError
        dbt could not run.
    """
    environment, spelt = _describe_run(study, database, None, variables)
    arguments = [*arguments, "--target", "build", "--vars", spelt]
    with _environment(environment):
        result = _invoke(arguments, folder)
    _raise_what_ended(result, folder)
    return bool(result.success)


def invoke_dbt(
    arguments: Sequence[str],
    folder: Path,
    progress: Callable[..., None] | None = None,
    database: Path | None = None,
    parsed: Manifest | None = None,
) -> list[RunResult]:
    """Run a dbt command on the project, quietly, its artefacts under `folder`.

    Parameters
    ----------
    arguments : sequence of str
    folder : Path
    progress : callable, optional
        As `run_dbt` takes it.
    database : Path, optional
        What a failed test's first row is read from.
    parsed : dbt.contracts.graph.manifest.Manifest, optional
        As `run_dbt` takes it.

    Returns
    -------
    list
        dbt's results.

    Raises
    ------
    StudyError
        A dbt model or test failed, named with its first lines; `MemoryLimitError` where memory
        ran out.
    """
    result = _invoke_quietly(arguments, folder, progress, parsed)
    results = list(getattr(result.result, "results", None) or [])
    failed = [item for item in results if str(item.status) in ("error", "fail")]
    if failed:
        said = "\n".join(item.message or "" for item in failed)
        check_disk(folder, None, said)
        what = "; ".join(
            f"{item.node.name}: {' '.join((item.message or '').split())[:300]}"
            + _show_first_row(item, database)
            for item in failed[:3]
        )
        is_memory = "Out of Memory Error" in said
        raise (MemoryLimitError if is_memory else StudyError)(
            f"{len(failed)} dbt nodes failed: {what}{f'; {MORE_MEMORY}' if is_memory else ''}; the"
            f" published warehouse is as it was, {folder / 'target'} holds the compiled SQL"
        )
    return results


def _invoke_quietly(
    arguments: Sequence[str],
    folder: Path,
    progress: Callable[..., None] | None = None,
    parsed: Manifest | None = None,
) -> dbtRunnerResult:
    """Run a dbt command with its warnings in the log, and no other output."""

    def announce(event: EventMsg) -> None:
        if event.info.level == "warn":
            _log.warning("dbt: %s", " ".join(event.info.msg.split()))
        if progress is None:
            return
        if event.info.name == "LogModelResult":
            progress(event.data.index, event.data.total, event.data.node_info.node_name)
        elif event.info.name == "LogTestResult":
            progress(event.data.index, event.data.num_models, event.data.node_info.node_name)

    result = _invoke([*arguments, "--log-level", "none"], folder, announce, parsed)
    _raise_what_ended(result, folder)
    return result


def _show_first_row(item: RunResult, database: Path | None) -> str:
    """Give the first row that a failed test found, as ``, first: column = value``; else nothing."""
    code = getattr(item.node, "compiled_code", None)
    if database is None or not code or str(item.status) != "fail":
        return ""
    try:
        with open_build(database) as connection:
            found = connection.execute(code)
            names = [name for name, *_ in found.description or ()]
            row = found.fetchone() or ()
    except duckdb.Error:
        return ""
    values = ", ".join(f"{name} = {value}" for name, value in zip(names, row, strict=False))
    return f", first: {values[:300]}" if values else ""


def _raise_what_ended(result: dbtRunnerResult, folder: Path) -> None:
    """Raise what ended dbt before it had results, in one line; dbt may have it wrapped."""
    error = getattr(result.exception, "exception", None) or result.exception
    if isinstance(error, KeyboardInterrupt):
        raise error
    if error is not None:
        check_disk(folder, error)
        said = " ".join(str(error).split())
        # Without its frames: a pool of threads that they hold is left to the interpreter's end
        # otherwise, which says so by a traceback.
        traceback.clear_frames(error.__traceback__)
        raise StudyError(f"dbt could not run: {said}") from None


def _invoke(
    arguments: Sequence[str],
    folder: Path,
    announce: Callable[[EventMsg], None] | None = None,
    parsed: Manifest | None = None,
) -> dbtRunnerResult:
    """Run dbt on the project, out of reach of a shell's own settings of it; its result.

    With `announce`, it alone hears of warnings, errors and finished nodes, and of nothing else.
    """
    project, artefacts = str(plain_path(PROJECT)), plain_path(folder)
    places = ["--project-dir", project, "--profiles-dir", project]
    ours = {
        "DO_NOT_TRACK": "1",
        # As variables, for not every command of dbt takes the options.
        "DBT_TARGET_PATH": str(artefacts / "target"),
        "DBT_LOG_PATH": str(artefacts / "logs"),
    }
    with _environment(ours, without=_DBT_VARIABLES):
        # dbt reads variables when it is imported, too.
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.adapters.duckdb.credentials import DuckDBCredentials
        from dbt.cli.main import dbtRunner

        from upscale_audit.warehouse.dbt_events import quiet_events

        # By these dbt knows a profile again, and reads the whole project anew for another: where a
        # study lies decides nothing of it, its database's name does.
        DuckDBCredentials._connection_keys = lambda self: ("database", "schema")
        cache = ParseCache(PROJECT, os.environ.get("UPSCALE_AUDIT_DB", ":memory:"), arguments)
        if parsed is None:
            cache.bring(artefacts / "target")
        runner = dbtRunner(parsed, [] if announce is None else [announce])
        with contextlib.nullcontext() if announce is None else quiet_events():
            result = runner.invoke([*arguments, *places])
        if parsed is None and result.exception is None:
            cache.keep(artefacts / "target")
        # dbt-duckdb keeps its database open for the next run in this process; no one else could.
        DuckDBConnectionManager.close_all_connections()
    gc.collect()
    return result


@contextlib.contextmanager
def _environment(values: Mapping[str, str], without: Pattern | None = None) -> Iterator[None]:
    """Set variables for the time of a ``with`` block, and take out those whose name matches."""
    before = dict(os.environ)
    for name in filter(without.match, before) if without else ():
        del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
