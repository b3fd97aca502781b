"""The command line: ``upscale-audit ingest | build | export | figures | docs | run``."""

import argparse
import logging
import sys
import time
from pathlib import Path

from ingest.errors import StudyError
from ingest.study import load_study

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_REJECTS = 0, 1, 2, 3

_EXIT_CODES = """
exit status:
  0  done
  1  a known failure, said in one line
  2  the command line is off
  3  done, but some files were refused: table mart_rejects says which and why
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
    _add(commands, "ingest", _ingest, "measure a study's images into raw Parquet").add_argument(
        "--workers", type=_positive, help="processes (default: all cores); no result depends on it"
    )
    _add(commands, "build", _build, "build, test and publish warehouse.duckdb").add_argument(
        "--threads", type=_positive, help="threads (default: all cores); no result depends on it"
    )
    _add(commands, "export", _export, "write marts as Parquet with SHA256SUMS").add_argument(
        "--table", action="append", help="only this table; may be given again"
    )
    _add(commands, "figures", _figures, "draw figures as PNG, SVG and HTML")
    _add(commands, "docs", _docs, "write the dbt documentation as one HTML page")
    return parser


def _add(commands, name, run, summary):
    command = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  upscale-audit {name} sample/study.toml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("study", metavar="STUDY.toml", type=Path, help="the study file")
    command.set_defaults(run=run)
    return command


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return value


def _ingest(options):
    from ingest.run import ingest_study

    with Progress("ingest", "images") as progress:
        report = ingest_study(load_study(options.study), options.workers, progress)
    kept = f", {report.units_kept} units unchanged" if report.units_kept else ""
    _say(f"ingested {report.images} images, {report.blocks} block rows{kept}")
    if report.missing:
        _say(f"{report.missing} restored images are missing: mart_coverage counts them")
    if report.colour_reduced:
        _say(f"{report.colour_reduced} colour files were reduced to grey (Rec. 601)")
    for reject in report.rejects[:5]:
        _say(f"refused {reject['file_name']!r}: {reject['reason']}, {reject['detail']}")
    if report.rejects:
        _say(f"{len(report.rejects)} files were refused in all: mart_rejects lists them")
        return EXIT_REJECTS
    return EXIT_OK


def _build(options):
    from warehouse.build import build_warehouse

    with Progress("build", "dbt nodes") as progress:
        report = build_warehouse(load_study(options.study), options.threads, progress)
    _say(f"published {report.warehouse} ({report.bytes / 1e6:.1f} MB; {report.tests} tests passed)")
    return EXIT_OK


def _export(options):
    from warehouse.export import export_tables

    with Progress("export", "tables") as progress:
        report = export_tables(load_study(options.study), options.table, progress)
    _say(f"exported {report.files} files to {report.folder} ({report.bytes / 1e6:.1f} MB)")
    return EXIT_OK


def _figures(options):
    try:
        from analysis.figures import draw_figures
    except ModuleNotFoundError as error:
        raise StudyError(
            f"figures need {error.name}, which is not installed:"
            " pip install 'upscale-audit[figures]'"
        ) from None
    study = load_study(options.study)
    with Progress("figures", "figures") as progress:
        files = draw_figures(study.warehouse, study.references, study.output / "figures", progress)
    _say(f"drew {len(files)} files in {study.output / 'figures'}")
    return EXIT_OK


def _docs(options):
    from warehouse.docs import write_docs

    _say(f"wrote {write_docs(load_study(options.study))}")
    return EXIT_OK


def _run(options):
    options.threads = options.table = None
    code = _ingest(options)
    _build(options)
    _export(options)
    _figures(options)
    return code


def _say(line):
    print(line, file=sys.stderr)


class Progress:
    """Show how far a command is: a bar on a terminal, else a line every few seconds.

    Parameters
    ----------
    name, unit : str
        The command and what it counts.
    """

    QUIET_S = 5.0

    def __init__(self, name, unit):
        self.name, self.unit = name, unit
        self._bar = self._task = None
        self._said = self._started = time.monotonic()

    def __enter__(self):
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar
            from rich.progress import TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._bar = Bar(
                *Bar.get_default_columns()[:3],
                TextColumn(f"{{task.completed}}/{{task.total}} {self.unit}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[label]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.name, total=None, label="")
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done, total, label=""):
        """Say that `done` of `total` are done, the last being `label`."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, label=label)
            return
        now = time.monotonic()
        if now - self._said >= self.QUIET_S or done == total:
            self._said = now
            elapsed = max(now - self._started, 1e-9)
            left = elapsed / done * (total - done)
            _say(
                f"{self.name}: {done}/{total} {self.unit}, {elapsed:.0f} s,"
                f" {done / elapsed:.1f}/s, {left:.0f} s left"
            )


if __name__ == "__main__":
    main()
