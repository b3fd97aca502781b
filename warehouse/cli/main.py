"""The parser of all commands, and what becomes of their errors."""

import argparse
import logging
import os
import select
import sys
from collections.abc import Sequence
from typing import Any

from upscale_audit.ingest.errors import FEW_HANDLES, StudyError, says_few_handles
from upscale_audit.warehouse.cli import (
    building,
    coding,
    drawing,
    exploring,
    hyra,
    phantoms,
    proving,
    reader_training,
    reading,
    restoring,
)
from upscale_audit.warehouse.cli.options import EXIT_CODES, EXIT_FAILED, EXIT_PIPE

_ROOMS = (
    *(building, drawing, exploring, restoring, coding, hyra, phantoms, reading, reader_training),
    proving,
)
"""Each adds its commands, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; the process exits with one of the codes in the help."""
    options = make_parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        code = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _has_lost_its_reader():
            raise
        code = EXIT_PIPE
    except StudyError as error:
        print(f"upscale-audit: {error}", file=sys.stderr)
        code = EXIT_FAILED
    except KeyboardInterrupt:
        print("upscale-audit: interrupted; run it again to go on", file=sys.stderr)
        code = EXIT_FAILED
    except BaseException as error:  # the panic of a library in Rust is no Exception
        if not says_few_handles(error):
            raise
        print(f"upscale-audit: {FEW_HANDLES}", file=sys.stderr)
        code = EXIT_FAILED
    sys.exit(code)


def _has_lost_its_reader() -> bool:
    """Whether who reads what is printed, `head` say, has enough; then nothing more is printed."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    # The interpreter flushes once more at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def make_parser() -> argparse.ArgumentParser:
    """Make the argument parser, with every command's help and example."""
    parser = argparse.ArgumentParser(
        prog="upscale-audit",
        description="What did an AI upscaler invent, lose or bend in a medical image?",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for room in _ROOMS:
        room.add_commands(commands)
    return parser


class _Version(argparse.Action):
    """Print the version of what is installed; read only when asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        import importlib.metadata

        print(f"upscale-audit {importlib.metadata.version('upscale-audit')}")
        parser.exit()
