"""Names of files that a database takes for nothing but names.

DuckDB expands ``*``, ``[`` and ``?`` in the paths that it reads, dbt quotes some paths and parses
others as addresses, and both read more into a path than its file. A folder with such a character in
its name is shown to them under another one. `?` and a backslash cannot be helped so: DuckDB looks
up the true name of a database and reads them there.
"""

import atexit
import functools
import os
import re
import shutil
import tempfile
from pathlib import Path

from upscale_audit.ingest.errors import StudyError

_PLAIN = re.compile(r"[\w /.,+@()~-]*")
_UNUSABLE = re.compile(r"[?\\]")


def plain_path(path: str | Path) -> Path:
    """Give a path of the same file in which every character stands for itself.

    Parameters
    ----------
    path : str or Path
        It need not exist.

    Returns
    -------
    Path
        Absolute. Where a folder's name is not plain, it leads through a link to it in a folder of
        this process's own, which goes when the process ends.

    Raises
    ------
    StudyError
        The temporary folder's name is not plain either.
    """
    path = Path(path).absolute()
    tail = []
    while not is_plain(path):
        if _PLAIN.fullmatch(path.name):
            tail.append(path.name)
            path = path.parent
        else:
            path = _link(path)
    return path.joinpath(*reversed(tail))


def is_plain(path: Path) -> bool:
    """Whether every character of a path stands for itself."""
    return _PLAIN.fullmatch(str(Path(path).absolute())) is not None


@functools.cache
def _link(folder: Path) -> Path:
    """Link to a folder from one with a plain name."""
    place = Path(tempfile.mkdtemp(prefix="upscale-audit-")).absolute()
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    if not is_plain(place):
        raise StudyError(
            f"cannot show {folder} to DuckDB under a plain name: {place} has none either; set"
            " TMPDIR to a folder whose path has only letters, digits and ordinary marks"
        )
    os.symlink(folder, place / "folder")
    return place / "folder"


def check_database_folder(folder: Path, where: str) -> None:
    """Refuse a folder in which DuckDB can keep no database.

    Parameters
    ----------
    folder : Path
    where : str
        What names it, for the message.

    Raises
    ------
    StudyError
        Its path, links followed, has a ``?`` or a backslash.
    """
    found = _UNUSABLE.search(os.path.realpath(folder))
    if found:
        raise StudyError(
            f"{where} = {folder}: DuckDB can keep no database below a folder with {found[0]} in its"
            " name; rename that folder, or name another as [study] output"
        )
