"""The command that makes restored images: restore. Needs the extra `restore`."""

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
    summary = "make the restored images of each model that declares a restorer"
    command = add_command(commands, "restore", _restore, summary, "sample/controls.toml")
    command.add_argument(
        "--workers",
        type=read_count,
        help="processes, or threads beside a GPU (default: all cores); no pixel depends on it",
    )


def _restore(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    from upscale_audit.restore.run import restore_study

    with Progress("restore", "% of the work") as progress:
        report = restore_study(study, options.workers, progress)
    kept = f", {report.kept} unchanged" if report.kept else ""
    say(f"restored {count_noun(report.made, 'image')}{kept}")
    for folder in report.folders:
        say(f"what made them: {folder / '.restored.json'}")
    for name in report.set_aside:
        say(f"not what restore had written, so moved away: {name}")
    for name, why in list(report.rejects.items())[:5]:
        say(f"not restored: {name!r}, {why}")
    if report.rejects:
        say(f"{len(report.rejects)} references were not restored in all")
        return EXIT_INCOMPLETE
    return EXIT_OK
