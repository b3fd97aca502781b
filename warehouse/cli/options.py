"""What the commands share: exit codes, option types, help with an example, extras."""

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from upscale_audit.ingest.errors import StudyError

EXIT_OK, EXIT_FAILED, EXIT_INCOMPLETE = 0, 1, 3
EXIT_PIPE = 128 + 13
"""As a shell shows a program that SIGPIPE ended."""
EXIT_CODES = """
exit status:
  0  done
  1  a known failure, said in one line; of verify: something differs
  2  the command line is off
  3  done, but some files were refused: table mart_rejects says which and why; of check-hashes:
     the list and the files differ; of codec study: a ratio was not reached; of certify: an image
     contradicts its LR image
  141  whoever read the output, as head does, closed it before its end
"""

LANGUAGES = ("en", "ja")
LABEL_LANGUAGES = ("published", *LANGUAGES)
PATCHES_PX = (8, 16, 32, 64)
WIDTHS_MM = (174, 180, 190)
MAP_WIDTHS_MM = (85, *WIDTHS_MM)
"""Of figures in print; `analysis.output` says whose they are."""

STUDY = ("STUDY.toml", "the study file")


def add_command(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[..., Any],
    summary: str,
    example: str = "sample/study.toml",
    argument: tuple[str, str] = STUDY,
) -> argparse.ArgumentParser:
    """Add a command with one positional argument, `study`.

    Parameters
    ----------
    commands : argparse._SubParsersAction
    name : str
        Two words for a command of a group: ``codec train``.
    run : callable
        Takes the parsed options; gives the exit code.
    summary : str
        One line, in lower case.
    example : str
        What follows the name in the help's example.
    argument : tuple of str
        Metavariable and help of the positional argument.

    Returns
    -------
    argparse.ArgumentParser
    """
    command: argparse.ArgumentParser = commands.add_parser(
        name.split()[-1],
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  upscale-audit {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    metavar, text = argument
    command.add_argument("study", metavar=metavar, type=Path, help=text)
    command.set_defaults(run=run)
    return command


def add_check(command: argparse.ArgumentParser) -> None:
    """Add the option that leaves the warehouse's hash unchecked."""
    command.add_argument(
        "--no-check",
        dest="check",
        action="store_const",
        const="skip",
        default="hash",
        help="read the warehouse without comparing its hash first, which takes about 2 s a GB; the"
        " manifest says so",
    )


def read_count(text: str) -> int:
    """Read a count of 1 or more, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return value


def load_extra(module: str, extra: str) -> ModuleType:
    """Import a module whose packages an extra installs.

    Parameters
    ----------
    module : str
        Within ``upscale_audit``.
    extra : str

    Raises
    ------
    StudyError
        A package is not installed; names what installs it.
    """
    try:
        return importlib.import_module(f"upscale_audit.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("upscale_audit"):
            raise
        raise StudyError(
            f"this needs {error.name}, which is not installed: {name_install(extra)}"
        ) from None


def name_install(extra: str) -> str:
    """Name the command that installs an extra."""
    return f"pip install 'upscale-audit[{extra}]'"
