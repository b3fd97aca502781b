"""The main job: run, ingest, build, freeze, export, docs, dbt."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.wording import count_noun
from upscale_audit.warehouse.cli.drawing import draw_figures, write_study_report
from upscale_audit.warehouse.cli.options import (
    EXIT_FAILED,
    EXIT_INCOMPLETE,
    EXIT_OK,
    LABEL_LANGUAGES,
    add_check,
    add_command,
    read_count,
)
from upscale_audit.warehouse.cli.progress import Progress, say

if TYPE_CHECKING:
    from distributed.cfexecutor import ClientExecutor

    from upscale_audit.ingest.study import Study


REJECTS_SAID = 5
"""So many refused files have a line each; of more, another counts them."""


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser."""
    run = add_command(commands, "run", _run, "ingest, build, export and draw: the main job")
    _add_workers(run)
    _add_ingest(commands)
    _add_build(commands)
    summary = "keep the axis and the limits, so that states are final too"
    add_check(add_command(commands, "freeze", _freeze, summary))
    _add_export(commands)
    add_command(commands, "docs", _docs, "write the dbt documentation as one HTML page")
    _add_dbt(commands)


def _add_ingest(commands: argparse._SubParsersAction) -> None:
    command = add_command(commands, "ingest", _ingest, "measure a study's images into raw Parquet")
    _add_workers(command)
    _add_cluster(command, "measure")


def _add_workers(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--workers",
        type=read_count,
        help="ingest processes (default: one a core, as many as the memory holds); no result"
        " depends on it",
    )
    command.add_argument(
        "--memory",
        type=read_count,
        metavar="GIB",
        help="what the default number of ingest processes may take (default: 9/10 of what is free)",
    )


def _add_cluster(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help=f"{what} on the workers of this dask scheduler, for instance tcp://10.0.0.1:8786; no"
        " result depends on it",
    )


def _add_build(commands: argparse._SubParsersAction) -> None:
    command = add_command(commands, "build", _build, "build, test and publish warehouse.duckdb")
    command.add_argument(
        "--threads", type=read_count, help="threads (default: all cores); no result depends on it"
    )
    _add_cluster(command, "make the tables of blocks")


def _add_export(commands: argparse._SubParsersAction) -> None:
    command = add_command(commands, "export", _export, "write marts as Parquet with SHA256SUMS")
    choice = command.add_mutually_exclusive_group()
    choice.add_argument("--table", action="append", help="only this table; may be given again")
    choice.add_argument(
        "--labels",
        choices=LABEL_LANGUAGES,
        default="published",
        help="pattern labels of the files in published_form/: as their program writes them"
        " (default), English or Japanese",
    )
    command.add_argument(
        "--floats",
        action="store_true",
        help="write DECIMAL columns as DOUBLE, for pandas and R, and what each column means into"
        " each Parquet file",
    )
    add_check(command)


def _add_dbt(commands: argparse._SubParsersAction) -> None:
    summary = "run any dbt command in a copy of the warehouse: docs/add-a-mart.md"
    example = "sample/study.toml build --select mart_ledger"
    command = add_command(commands, "dbt", _dbt, summary, example)
    command.add_argument(
        "arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="dbt's own, as dbt takes them"
    )


def _run(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    code = ingest(study, options.workers, memory_gib=options.memory)
    build(study)
    export(study, check="built")
    draw_figures(study, check="built")
    write_study_report(study, check="built")
    return code


def _ingest(options: argparse.Namespace) -> int:
    return ingest(load_study(options.study), options.workers, options.cluster, options.memory)


def ingest(
    study: Study,
    workers: int | None = None,
    cluster: str | None = None,
    memory_gib: int | None = None,
) -> int:
    """Measure a study's images and say what came of it; the exit code."""
    from upscale_audit.ingest.compiled import is_compiled
    from upscale_audit.ingest.run import ingest_study
    from upscale_audit.warehouse.proof.hash_lists import read_list

    if not is_compiled():
        say("ingest: compiling the kernels first, for half a minute or so, once an installation")
    with (
        Progress("ingest", "images") as progress,
        _open_workers(workers, cluster) as (executor, workers),
    ):
        memory = None if memory_gib is None else memory_gib << 30
        report = ingest_study(study, workers, progress, executor, memory, read_list)
    kept = f", {report.units_kept} units unchanged" if report.units_kept else ""
    say(f"ingested {count_noun(report.images, 'image')}, {report.blocks} block rows{kept}")
    if report.missing:
        say(f"{count_noun(report.missing, 'restored image')} missing: mart_coverage counts them")
    if report.colour_reduced:
        say(f"{report.colour_reduced} colour files were reduced to grey (Rec. 601)")
    for warning in report.warnings[:8]:
        say(f"warning: {warning['sentence']}")
    if report.warnings[8:]:
        say(f"{len(report.warnings)} warnings in all: mart_warnings lists them")
    rejects = [reject for reject in report.rejects if reject["reason"] != "other_file"]
    if len(rejects) < len(report.rejects):
        say(f"{len(report.rejects) - len(rejects)} files are no images: mart_rejects lists them")
    for reject in rejects[:REJECTS_SAID]:
        owner = [reject["role"], reject["model_id"], reject["inference_path"]]
        where = f"{reject['file_name']!r} ({', '.join(filter(None, owner))})"
        say(f"refused {where}: {reject['reason']}, {reject['detail']}")
    if rejects[REJECTS_SAID:]:
        say(f"{len(rejects)} files were refused in all: mart_rejects lists them")
    return EXIT_INCOMPLETE if rejects else EXIT_OK


@contextlib.contextmanager
def _open_workers(
    workers: int | None, cluster: str | None
) -> Iterator[tuple[ClientExecutor | None, int | None]]:
    """Give the executor and number of workers that the options ask for."""
    if cluster is None:
        yield None, workers
        return
    from upscale_audit.ingest.cluster import open_cluster

    with open_cluster(cluster) as (executor, cores):
        yield executor, workers or cores


def _build(options: argparse.Namespace) -> int:
    build(load_study(options.study), options.threads, options.cluster)
    return EXIT_OK


def build(study: Study, threads: int | None = None, cluster: str | None = None) -> None:
    """Build a study's warehouse and say what came of it."""
    from upscale_audit.warehouse.build import build_warehouse

    with (
        Progress("build", "dbt nodes") as progress,
        _open_workers(None, cluster) as (executor, workers),
    ):
        report = build_warehouse(study, threads, progress, executor, workers or 1)
    if report.stands:
        say(f"nothing changed since {report.warehouse} was built: it stands as it is")
    elif report.resumed:
        say("went on from a build that had been stopped")
    if report.carried_blocks:
        say(f"kept {report.carried_blocks} block rows of the warehouse before")
    elif study.axis != "own" and not report.stands:
        say(f"built from nothing: {report.reason}")
    found, least = report.axis_alignment, report.least_alignment
    if found is not None and least is not None and found < least:
        say(
            f"the axis {report.axis_basis} is not this study's: |cos| between it and"
            f" {'standard-1' if report.axis_basis == 'pooled' else 'the first axis of its blocks'}"
            f" is {found:.2f}, below {least:g} (mart_pca_basis)"
        )
    if not report.stands:
        size = f"{report.bytes / 1e6:.1f} MB"
        say(f"published {report.warehouse} ({size}; {report.tests} tests passed)")
    say(f"Merkle root of the source files: {report.sources_root}")


def _freeze(options: argparse.Namespace) -> int:
    from upscale_audit.warehouse.frozen import freeze_study

    study = load_study(options.study)
    path = freeze_study(study, options.check)
    say(f"wrote {path}: read it, keep it with the study, and name it in {study.path}:")
    say(f'  [study] frozen = "{os.path.relpath(path, study.path.parent)}"')
    return EXIT_OK


def _export(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    export(study, options.table, options.labels, options.check, has_floats=options.floats)
    return EXIT_OK


def export(
    study: Study,
    tables: Sequence[str] | None = None,
    labels: str = "published",
    check: str = "hash",
    *,
    has_floats: bool = False,
) -> None:
    """Write a study's marts as Parquet and say what came of it."""
    from upscale_audit.warehouse.export import export_tables

    with Progress("export", "tables") as progress:
        report = export_tables(
            study, tables, progress, labels=labels, check=check, has_floats=has_floats
        )
    say(f"exported {report.files} files to {report.folder} ({report.bytes / 1e6:.1f} MB)")
    say(f"Merkle root of the exports: {report.root}")


def _docs(options: argparse.Namespace) -> int:
    from upscale_audit.warehouse.docs import write_docs

    say(f"wrote {write_docs(load_study(options.study))}")
    return EXIT_OK


def _dbt(options: argparse.Namespace) -> int:
    from upscale_audit.warehouse.development import run_in_copy

    study = load_study(options.study)
    return EXIT_OK if run_in_copy(study, options.arguments, say) else EXIT_FAILED
