"""What dbt read of the project, kept between studies: reading takes ten times as long as a check.

dbt keeps what it parsed beside a study's other artefacts (``partial_parse.msgpack``), so that every
new study begins without. The same bytes serve every study whose parse the same things decide. dbt
still compares the hash of each of the project's files with what it kept.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import platform
import zlib
from collections.abc import Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from upscale_audit.ingest.files import hash_json
from upscale_audit.ingest.manifests import describe_code

_PARSED = "partial_parse.msgpack"
_OWNER = "partial_parse.project"
"""Beside a parse: of which folder's project. dbt would take that of another installation for its
own, whose files are the same, and look for its seeds there."""
_KEPT = 64
"""Parses that stay, of half a megabyte each: of kinds of studies, and of changes to the project."""


class ParseCache:
    """One parse of the project, under the user's cache folder.

    Parameters
    ----------
    project : Path
        dbt's, `warehouse.dbt_runner.PROJECT`.
    database : str
        Path of the database that dbt opens: its name is part of every relation's.
    arguments : sequence of str
        dbt's. Its ``--target`` and ``--vars`` decide how the project reads.
    """

    def __init__(self, project: Path, database: str, arguments: Sequence[str]) -> None:
        values = dict(pairwise(arguments))
        self._project = str(project)
        self._is_wanted = "--no-partial-parse" not in arguments
        self._is_brought = False
        decides = {
            "project": self._project,
            "code": describe_code(project.name),
            "database": Path(database).name,
            "target": values.get("--target"),
            "vars": values.get("--vars"),
            "versions": [platform.python_version(), version("dbt-core"), version("dbt-duckdb")],
        }
        self._name = f"{hash_json(decides)}.gz"

    def bring(self, target: Path) -> None:
        """Put what was parsed before where dbt looks for it; whatever is wrong, dbt parses anew.

        Parameters
        ----------
        target : Path
            dbt's folder of artefacts.
        """
        if not self._is_wanted:
            return
        self._take_over(target)
        with contextlib.suppress(OSError, EOFError, zlib.error):
            parsed = gzip.decompress((_find_folder() / self._name).read_bytes())
            (target / _PARSED).write_bytes(parsed)
            self._is_brought = True

    def _take_over(self, target: Path) -> None:
        """Remove what is parsed there, unless of this project."""
        owner, project = target / _OWNER, os.fsencode(self._project)
        with contextlib.suppress(OSError):
            if owner.exists() and owner.read_bytes() == project:
                return
            (target / _PARSED).unlink(missing_ok=True)
            target.mkdir(parents=True, exist_ok=True)
            owner.write_bytes(project)

    def keep(self, target: Path) -> None:
        """Keep what dbt parsed, if it is new; where it cannot be kept, it is not.

        Parameters
        ----------
        target : Path
            As `bring` takes it.
        """
        if not self._is_wanted:
            return
        with contextlib.suppress(OSError):
            folder = _find_folder()
            place = folder / self._name
            if self._is_brought:
                os.utime(place)
                return
            parsed = (target / _PARSED).read_bytes()
            folder.mkdir(parents=True, exist_ok=True)
            written = folder / f".{self._name}.{os.getpid()}"
            written.write_bytes(gzip.compress(parsed, compresslevel=1))
            written.replace(place)
            ages = sorted(folder.glob("*.gz"), key=lambda path: path.stat().st_mtime)
            for path in ages[:-_KEPT]:
                path.unlink(missing_ok=True)


def _find_folder() -> Path:
    """Give the cache folder, as the XDG Base Directory Specification has it."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(named) if os.path.isabs(named) else Path(os.path.expanduser("~")) / ".cache"
    return base / "upscale-audit" / "dbt"
