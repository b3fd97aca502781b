"""The command that shows a study on a local page: explore. Needs the extra `explore`."""

import argparse

from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.cli.options import EXIT_OK, add_command, load_extra
from upscale_audit.warehouse.cli.progress import say

PORT = 5006


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    summary = "look at blocks and ask in SQL, on a page that this machine alone can open"
    command = add_command(commands, "explore", _explore, summary)
    command.add_argument(
        "--port", type=_read_port, default=PORT, help=f"default: {PORT}; 0 takes a free one"
    )


def _read_port(text: str) -> int:
    """Read the number of a port, for argparse."""
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError("expected 0 to 65535")
    return int(text)


def _explore(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    load_extra("analysis.explore.server", "explore").serve(study, options.port, say)
    return EXIT_OK
