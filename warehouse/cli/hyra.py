"""The command that analyses networks: hyra. Needs the extra `restore`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.wording import count_noun
from upscale_audit.warehouse.cli.options import EXIT_INCOMPLETE, EXIT_OK, add_command, read_count
from upscale_audit.warehouse.cli.progress import Progress, say

if TYPE_CHECKING:
    import argparse


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    summary = "measure what of each network is a linear filter, and what it adds above LR Nyquist"
    example = "STUDY.toml --network span_x2_ch48=span_x2_ch48"
    command = add_command(commands, "hyra", _analyse, summary, example)
    command.add_argument(
        "--network",
        metavar="MODEL_ID=WEIGHTS",
        action="append",
        default=[],
        help="known weights of a model that declares no restorer; may be given again",
    )
    command.add_argument(
        "--workers", type=read_count, help="processes (default: all cores); no value depends on it"
    )


def _analyse(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    from upscale_audit.restore.hyra.study import analyse_study

    with Progress("hyra", "images") as progress:
        report = analyse_study(
            study,
            _read_networks(options.network),
            workers=options.workers,
            progress=progress,
        )
    say(
        f"analysed {count_noun(report.networks, 'network')} on {count_noun(report.images, 'image')}"
        f" in {report.folder}"
    )
    for model_id, why in report.left_out.items():
        say(f"left out {model_id!r}: {why}")
    for name, why in list(report.skipped.items())[:5]:
        say(f"not measured: {name!r}, {why}")
    say(f"upscale-audit build {options.study} brings it into the warehouse")
    return EXIT_INCOMPLETE if report.skipped else EXIT_OK


def _read_networks(given: Iterable[str]) -> dict[str, str]:
    networks: dict[str, str] = {}
    for text in given:
        model_id, separator, weights = text.partition("=")
        if not (model_id and separator and weights):
            raise StudyError(f"--network {text!r}; expected MODEL_ID=WEIGHTS")
        if networks.setdefault(model_id, weights) != weights:
            raise StudyError(f"--network names {model_id!r} twice; give it one network")
    return networks
