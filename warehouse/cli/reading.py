"""The command that lets networks read a study's images: read. Needs the extra `readers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.wording import count_noun
from upscale_audit.warehouse.cli.options import EXIT_INCOMPLETE, EXIT_OK, add_command, read_count
from upscale_audit.warehouse.cli.progress import Progress, say

if TYPE_CHECKING:
    import argparse


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    summary = "let the readers that a study names score findings in its images"
    command = add_command(commands, "read", _read, summary, "STUDY.toml --device cuda")
    command.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="what the networks run on (default: cpu)",
    )
    command.add_argument(
        "--batch",
        type=read_count,
        help="images that a GPU is given at once (default: 32); a CPU reads one by one",
    )
    command.add_argument(
        "--workers",
        type=read_count,
        help="processes, or threads beside a GPU (default: all cores); no value depends on it",
    )


def _read(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    from upscale_audit.reading.study import read_study

    with Progress("read", "images") as progress:
        report = read_study(study, options.device, options.batch, options.workers, progress)
    kept = f", {count_noun(report.kept, 'reading')} unchanged" if report.kept else ""
    say(
        f"{count_noun(report.readers, 'reader')} read {count_noun(report.images, 'image')}{kept}:"
        f" {report.folder}"
    )
    for name, why in list(report.skipped.items())[:5]:
        say(f"not read: {name!r}, {why}")
    say(f"upscale-audit build {options.study} brings it into the warehouse")
    return EXIT_INCOMPLETE if report.skipped else EXIT_OK
