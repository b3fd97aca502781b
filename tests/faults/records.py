"""What a long campaign has come to, kept so that a stopped one goes on where it was."""

import hashlib
import json
from collections import Counter

from tests.faults.common import Tally
from upscale_audit.ingest.files import hash_json, write_text
from upscale_audit.ingest.manifests import describe_code

CODE = ("analysis", "dbt_project", "ingest", "restore", "tests", "warehouse", "warehouse/cli")


def hash_code():
    """SHA-256 over all code that takes part: what is kept holds for no other."""
    return hash_json({package: describe_code(package)["sha256"] for package in CODE})


class Record:
    """Outcomes by name, in a folder; without one, nothing is kept.

    Parameters
    ----------
    folder : Path or None
    given : str
        Options of the campaign and hash of its code: outcomes of others are passed over.
    """

    def __init__(self, folder, given):
        self._folder, self._given = folder, given
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def read(self, name):
        """What was kept under a name for these options and this code, or None."""
        if self._folder is None or not self._place(name).is_file():
            return None
        kept = json.loads(self._place(name).read_text(encoding="utf-8"))
        return kept["outcome"] if kept["given"] == self._given and kept["name"] == name else None

    def write(self, name, outcome):
        """Keep an outcome, whole or not at all."""
        if self._folder is not None:
            kept = {"name": name, "given": self._given, "outcome": outcome}
            write_text(self._place(name), json.dumps(kept))

    def read_tally(self, name):
        """A fault's `Tally`, or None."""
        kept = self.read(name)
        if kept is None:
            return None
        counts = {key: Counter(kept[key]) for key in ("outcomes", "messages")}
        return Tally(**(kept | counts))

    def write_tally(self, name, tally):
        """Keep a fault's `Tally`, also one that failed."""
        self.write(name, vars(tally))

    def _place(self, name):
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
