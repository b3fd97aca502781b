"""What the hostile inputs and the faults share."""

import contextlib
import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field

from tests.conftest import StudyFolder
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.run import ingest_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.cli import main as cli
from upscale_audit.warehouse.export import export_tables


class Failure(AssertionError):  # noqa: N818 - what the campaign looks for
    """An outcome that no user should ever meet."""


@dataclass
class Tally:
    """How often a fault was tried, what came of it, and what the user was told.

    `identical` counts reruns that ended with the bytes of an undisturbed run. What a user should
    never meet ends the fault's trials: `wrong` is then 1, and `reason` says what it was.
    """

    outcomes: Counter = field(default_factory=Counter)
    identical: int = 0
    wrong: int = 0
    messages: Counter = field(default_factory=Counter)
    reason: str | None = None

    def add(self, outcome, message=None):
        """Count one trial."""
        self.outcomes[outcome] += 1
        if message is not None:
            self.messages[message] += 1


def expect(condition, what):
    """Fail with `what` unless `condition` holds."""
    if not condition:
        raise Failure(what)


@dataclass
class Fresh:
    """Draws inputs no two of which have the same bytes.

    A kind that has no more to give (a hundred draws, all of them known) is a failure: a count of
    inputs would otherwise be a count of repetitions.
    """

    seen: set = field(default_factory=set)

    def draw(self, make, generator):
        """Bytes that `make` draws from the generator, such as were not drawn before."""
        for _ in range(100):
            data = make(generator)
            digest = hashlib.blake2b(data, digest_size=16).digest()
            if digest not in self.seen:
                self.seen.add(digest)
                return data
        raise Failure("nothing new is drawn")


def attempt(action, *arguments):
    """Run an action that may succeed or raise a StudyError; anything else is a failure."""
    try:
        action(*arguments)
    except StudyError as error:
        expect(str(error), "an error without a message")
        return "StudyError"
    return "accepted"


def make_study(root, build=False):
    """A study of three tiny images; with `build`, ingested, built and exported."""
    folder = StudyFolder(root)
    folder.add_model("alpha")
    folder.add_model("beta", paths=("notta",))
    for image_id in ("a", "b", "c"):
        folder.add_image(image_id)
    study = folder.load()
    if build:
        ingest_study(study, workers=1)
        build_warehouse(study, threads=2)
        export_tables(study)
    return study


def run_command(*arguments):
    """Run a command of the command line in this process, quietly."""
    options = cli.make_parser().parse_args([str(argument) for argument in arguments])
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        options.run(options)


def read_tree(folder):
    """SHA-256 by name of everything under a folder, or of a file."""
    paths = folder.rglob("*") if folder.is_dir() else [folder]
    return {str(path.relative_to(folder)): hash_file(path) for path in paths if path.is_file()}
