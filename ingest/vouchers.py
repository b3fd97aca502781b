"""What vouches for what a stage wrote, beside the stage itself: what was signed once is compared.

A manifest and its files can be restated together, so a stage's own word is not enough to keep a
number. Two things lie outside ``raw/``, ``hyra/``, ``phantoms/`` and ``readings/``: the published
warehouse's manifest, which names the manifests and units it was built from, and a journal of what
was signed since, which the next build takes away. What neither names is measured again by
``ingest``, refused by ``build`` and named by ``verify``.
"""

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from upscale_audit.ingest.documents import parse_document, read_bounded, read_document
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, replacing, sync
from upscale_audit.ingest.manifests import (
    MANIFEST,
    WAREHOUSE_MANIFEST,
    WarehouseManifest,
    read_manifest,
)

MAX_JOURNAL_BYTES = 1 << 26
"""A line takes 120 bytes or so, and a unit one line."""


class _Line(TypedDict):
    name: str
    sha256: str


class _Built(TypedDict):
    """What vouches, of a `WarehouseManifest`."""

    units: dict[str, str]
    parents: dict[str, str]


class Journal:
    """What a stage has signed since the last build, one line each, in the output folder.

    Parameters
    ----------
    output : Path
    stage : {"raw", "hyra", "phantoms", "readings", "restored", "maps"}
    """

    def __init__(self, output: Path, stage: str) -> None:
        self.path = output / f".{stage}.signed"

    def read(self) -> dict[str, set[str]] | None:
        """SHA-256s by name; None where there is no journal. A torn line is passed over."""
        try:
            lines = read_bounded(self.path, MAX_JOURNAL_BYTES).splitlines()
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {}
        signed = defaultdict(set)
        for line in lines:
            try:
                entry = parse_document(line, _Line)
            except ValueError:
                continue
            signed[entry["name"]].add(entry["sha256"])
        return dict(signed)

    def write(self, signed: Mapping[str, set[str]]) -> None:
        """Replace the journal as a whole: SHA-256s by name."""
        lines = [_spell(name, item) for name in sorted(signed) for item in sorted(signed[name])]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")

    def add(self, name: str, sha256: str) -> None:
        """Add a line, on the disk before this returns."""
        is_new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_spell(name, sha256))
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync(self.path.parent)

    def remove(self) -> None:
        """Take the journal away: a build has taken in what it names."""
        self.path.unlink(missing_ok=True)


def _spell(name: str, sha256: str) -> str:
    return json.dumps({"name": name, "sha256": sha256}) + "\n"


def find_unit_vouchers(output: Path) -> dict[str, set[str]]:
    """Find what vouches for the manifests of units.

    Parameters
    ----------
    output : Path
        The study's.

    Returns
    -------
    dict
        Sets of SHA-256 by name within the raw folder. Where nothing outside that folder vouches
        for anything, what its own manifest says; where that is missing too, nothing.
    """
    built, signed = _read_built(output), Journal(output, "raw").read()
    if built is not None or signed is not None:
        found = defaultdict(set)
        for name, sha256 in ({} if built is None else built["units"]).items():
            found[name].add(sha256)
        for name, hashes in (signed or {}).items():
            found[name] |= hashes
        return dict(found)
    try:
        files = read_manifest(output / "raw" / MANIFEST, "upscale-audit ingest")["files"]
    except StudyError:
        return {}
    return {name: {sha256} for name, sha256 in files.items()}


def find_stage_vouchers(output: Path, stage: str) -> set[str] | None:
    """Find what vouches for the manifest of a stage.

    Parameters
    ----------
    output : Path
    stage : {"raw", "hyra", "phantoms", "readings"}

    Returns
    -------
    set of str or None
        SHA-256s that it may have; None where nothing outside the stage says anything.
    """
    built, signed = _read_built(output), Journal(output, stage).read()
    name = f"{stage}/{MANIFEST}"
    if signed is None and (built is None or (built["parents"] and name not in built["parents"])):
        return None
    found = set() if signed is None else set(signed.get(MANIFEST, ()))
    return found | ({built["parents"][name]} if built and name in built["parents"] else set())


def check_vouched(output: Path, stage: str, repair: str) -> None:
    """Refuse a stage whose manifest is not the one that was signed.

    Parameters
    ----------
    output : Path
        The study's.
    stage : {"raw", "hyra", "phantoms", "readings"}
    repair : str
        The command that writes it anew.

    Raises
    ------
    StudyError
        Neither the published warehouse nor the journal names the manifest as it is.
    """
    path, vouched = output / stage / MANIFEST, find_stage_vouchers(output, stage)
    if vouched is not None and hash_file(path) not in vouched:
        raise StudyError(
            f"{path} is not the one that was signed: neither {WAREHOUSE_MANIFEST} nor"
            f" {Journal(output, stage).path.name} names its hash; run {repair}, which measures"
            " again what nothing vouches for"
        )


def _read_built(output: Path) -> _Built | None:
    """Read the warehouse's manifest; None where there is none, without content where damaged."""
    try:
        return read_document(output / WAREHOUSE_MANIFEST, WarehouseManifest)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {"units": {}, "parents": {}}
