"""The parser of all commands, and what becomes of their errors."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import select
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

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

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROOMS = (
    *(building, drawing, exploring, restoring, coding, hyra, phantoms, reading, reader_training),
    proving,
)
"""Each adds its commands, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; the process exits with one of the codes in the help."""
    _open_streams()
    output = _Output(sys.stdout)
    with contextlib.redirect_stdout(cast("TextIO", output)):
        options = make_parser().parse_args(arguments)
        logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)
        code = _run(options, output)
    sys.exit(code)


def _run(options: argparse.Namespace, output: _Output) -> int:
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _has_lost_its_reader():
            raise
        code = EXIT_PIPE
    except StudyError as error:
        print(f"upscale-audit: {output.problem or error}", file=sys.stderr)
        code = EXIT_FAILED
    except KeyboardInterrupt:
        print("upscale-audit: interrupted; run it again to go on", file=sys.stderr)
        code = EXIT_FAILED
    except BaseException as error:  # the panic of a library in Rust is no Exception
        said = FEW_HANDLES if says_few_handles(error) else output.problem
        if not said:
            raise
        print(f"upscale-audit: {said}", file=sys.stderr)
        code = EXIT_FAILED
    if output.problem:
        _drop_output()
    return code


class _Output:
    """Standard output, and what kept it from taking what was printed."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.problem = stream, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        with self._noting():
            return self.stream.write(text)

    def flush(self) -> None:
        with self._noting():
            self.stream.flush()

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            self.problem = (
                f"cannot write to standard output: {error.strerror}; free some space where it"
                " goes, or send it elsewhere"
            )
            raise


def _open_streams() -> None:
    """Open what the caller closed: no other file may take its number and what is printed to it."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _has_lost_its_reader() -> bool:
    """Whether who reads what is printed, `head` say, has enough; then nothing more is printed."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    _drop_output()
    return True


def _drop_output() -> None:
    """Let standard output go nowhere: the interpreter flushes it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
