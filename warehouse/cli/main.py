"""The command line ``upscale-audit``: the main job; other modules add their commands."""

import argparse
import contextlib
import logging
import os
import sys
from pathlib import Path

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.cli.coding import add_coding_commands
from upscale_audit.warehouse.cli.drawing import add_drawing_commands, draw_study
from upscale_audit.warehouse.cli.progress import Progress, say
from upscale_audit.warehouse.cli.proving import add_provenance_commands
from upscale_audit.warehouse.cli.restoring import add_restoring_commands
from upscale_audit.warehouse.hyra import add_hyra_command

LABEL_LANGUAGES = ("published", "en", "ja")
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_REJECTS = 0, 1, 2, 3
_STUDY_ARGUMENT = ("STUDY.toml", "the study file")

_EXIT_CODES = """
exit status:
  0  done
  1  a known failure, said in one line
  2  the command line is off
  3  done, but some files were refused: table mart_rejects says which and why; of check-hashes:
     the list and the files differ
"""


def main(arguments=None):
    """Run a command; the process exits with one of the codes in the help."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        code = options.run(options)
    except StudyError as error:
        print(f"upscale-audit: {error}", file=sys.stderr)
        code = EXIT_FAILED
    except KeyboardInterrupt:
        print("upscale-audit: interrupted; run it again to go on", file=sys.stderr)
        code = EXIT_FAILED
    sys.exit(code)


def make_parser():
    """Make the argument parser, with every command's help and example."""
    parser = argparse.ArgumentParser(
        prog="upscale-audit",
        description="What did an AI upscaler invent, lose or bend in a medical image?",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add(commands, "run", _run, "ingest, build, export and draw: the main job").add_argument(
        "--workers", type=_positive, help="ingest processes (default: all cores)"
    )
    _add_ingest(commands)
    _add_build(commands)
    _add(commands, "freeze", _freeze, "keep the axis and the limits, so that states are final too")
    _add_export(commands)
    add_drawing_commands(commands, _add)
    _add(commands, "docs", _docs, "write the dbt documentation as one HTML page")
    add_restoring_commands(commands, _add, _positive)
    add_coding_commands(commands, _add, _positive)
    add_hyra_command(commands, _add, _positive)
    add_provenance_commands(commands, _add)

    return parser


def _add(commands, name, run, summary, example="sample/study.toml", argument=_STUDY_ARGUMENT):
    command = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  upscale-audit {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    metavar, text = argument
    command.add_argument("study", metavar=metavar, type=Path, help=text)
    command.set_defaults(run=run)
    return command


def _add_export(commands):
    export = _add(commands, "export", _export, "write marts as Parquet with SHA256SUMS")
    choice = export.add_mutually_exclusive_group()
    choice.add_argument("--table", action="append", help="only this table; may be given again")
    choice.add_argument(
        "--labels",
        choices=LABEL_LANGUAGES,
        default="published",
        help="pattern labels of the files in published_form/: as their program writes them"
        " (default), English or Japanese",
    )


def _add_ingest(commands):
    command = _add(commands, "ingest", _ingest, "measure a study's images into raw Parquet")
    command.add_argument(
        "--workers", type=_positive, help="processes (default: all cores); no result depends on it"
    )
    command.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="measure on the workers of this dask scheduler, for instance tcp://10.0.0.1:8786",
    )


def _add_build(commands):
    command = _add(commands, "build", _build, "build, test and publish warehouse.duckdb")
    command.add_argument(
        "--threads", type=_positive, help="threads (default: all cores); no result depends on it"
    )
    command.add_argument(
        "--spark",
        metavar="MASTER",
        help="make the tables that read blocks on Spark: spark://host:7077, or local[2] for this"
        " machine; no result depends on it",
    )


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return value


def _ingest(options):
    from upscale_audit.ingest.run import ingest_study

    study = load_study(options.study)
    with Progress("ingest", "images") as progress, _open_workers(options) as (executor, workers):
        report = ingest_study(study, workers, progress, executor)
    kept = f", {report.units_kept} units unchanged" if report.units_kept else ""
    say(f"ingested {report.images} images, {report.blocks} block rows{kept}")
    if report.missing:
        say(f"{report.missing} restored images are missing: mart_coverage counts them")
    if report.colour_reduced:
        say(f"{report.colour_reduced} colour files were reduced to grey (Rec. 601)")
    for reject in report.rejects[:5]:
        say(f"refused {reject['file_name']!r}: {reject['reason']}, {reject['detail']}")
    if report.rejects:
        say(f"{len(report.rejects)} files were refused in all: mart_rejects lists them")
        return EXIT_REJECTS
    return EXIT_OK


@contextlib.contextmanager
def _open_workers(options):
    """Give the executor and number of workers that the options ask for."""
    if options.cluster is None:
        yield None, options.workers
        return
    from upscale_audit.ingest.cluster import open_cluster

    with open_cluster(options.cluster) as (executor, cores):
        yield executor, options.workers or cores


def _build(options):
    from upscale_audit.warehouse.build import MINIMUM_ALIGNMENT, build_warehouse

    with Progress("build", "dbt nodes") as progress:
        study = load_study(options.study)
        report = build_warehouse(study, options.threads, progress, options.spark)
    if report.resumed:
        say("went on from a build that had been stopped")
    if report.carried_blocks:
        say(f"kept {report.carried_blocks} block rows of the warehouse before")
    elif study.axis != "own":
        say(f"built from nothing: {report.reason}")
    if report.axis_alignment is not None and report.axis_alignment < MINIMUM_ALIGNMENT:
        say(
            f"the axis {report.axis_basis} is not this study's: |cos| between it and"
            f" {'standard-1' if report.axis_basis == 'pooled' else 'the first axis of its blocks'}"
            f" is {report.axis_alignment:.2f}, below {MINIMUM_ALIGNMENT} (mart_pca_basis)"
        )
    say(f"published {report.warehouse} ({report.bytes / 1e6:.1f} MB; {report.tests} tests passed)")
    say(f"Merkle root of the source files: {report.sources_root}")
    return EXIT_OK


def _freeze(options):
    from upscale_audit.warehouse.frozen import freeze_study

    study = load_study(options.study)
    path = freeze_study(study)
    say(f"wrote {path}: read it, keep it with the study, and name it in {study.path}:")
    say(f'  [study] frozen = "{os.path.relpath(path, study.path.parent)}"')
    return EXIT_OK


def _export(options):
    from upscale_audit.warehouse.export import export_tables

    with Progress("export", "tables") as progress:
        report = export_tables(
            load_study(options.study), options.table, progress, labels=options.labels
        )
    say(f"exported {report.files} files to {report.folder} ({report.bytes / 1e6:.1f} MB)")
    say(f"Merkle root of the exports: {report.root}")
    return EXIT_OK


def _docs(options):
    from upscale_audit.warehouse.docs import write_docs

    say(f"wrote {write_docs(load_study(options.study))}")
    return EXIT_OK


def _run(options):
    options.threads = options.table = options.cluster = options.spark = None
    options.labels, options.lang = "published", "en"
    code = _ingest(options)
    _build(options)
    _export(options)
    draw_study(options)
    return code


if __name__ == "__main__":
    main()
