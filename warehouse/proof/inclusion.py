"""Prove that a file belongs to a study, in steps that `sha256sum` can repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_audit.ingest.documents import read_bounded
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import SOURCES, format_sum
from upscale_audit.ingest.merkle import find_root, follow, hash_leaf, prove
from upscale_audit.ingest.run import read_raw_manifest
from upscale_audit.ingest.vouchers import check_vouched
from upscale_audit.warehouse.lineage import read_sums

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study


MAX_SOURCES_BYTES = 1 << 28
"""Of the list of source files: 256 MiB, of two million or so."""


def describe_proof(study: Study, file: str | None = None) -> list[str]:
    """Describe how a source file leads to the study's Merkle root.

    Parameters
    ----------
    study : ingest.study.Study
    file : str, optional
        A name in ``raw/sources.sha256``, its end where only one file has it, or a path to a file
        with the same bytes; without it only the root is given.

    Returns
    -------
    list of str
        Lines of ``word value``; ``left`` and ``right`` are siblings from the leaf up.

    Raises
    ------
    StudyError
        Nothing was ingested, or the file is no part of it.
    """
    path = study.raw / SOURCES
    text = _read_sources(path)
    check_vouched(study.output, "raw", f"upscale-audit ingest {study.path}")
    sums = read_sums(text)
    leaves = text.encode("utf-8").splitlines(keepends=True)
    root = find_root(leaves)
    if file is None:
        return [f"leaves {len(leaves)}", f"root {root}"]
    name = _find_name(sums, file, path)
    line = format_sum(sums[name], name)
    steps = prove(leaves, list(sums).index(name))
    if follow(line.encode("utf-8"), steps) != root:
        raise RuntimeError(f"the audit path of {name!r} does not lead to the root")
    return [
        "# leaf: SHA-256 of byte 00 and the line; each step: of byte 01, left and right",
        f"line {line.removesuffix(chr(10))}",
        f"leaf {hash_leaf(line.encode('utf-8')).hex()}",
        *(f"{side} {sibling}" for side, sibling in steps),
        f"root {root}",
    ]


def _read_sources(path: Path) -> str:
    """Read the list of source files, which must be the one that the raw manifest signs."""
    repair = "run upscale-audit ingest"
    try:
        data = read_bounded(path, MAX_SOURCES_BYTES)
        signed = read_raw_manifest(path.parent)["files"].get(SOURCES)
        if hashlib.sha256(data).hexdigest() != signed:
            raise ValueError("it is not the one that was signed")
        return data.decode("utf-8")
    except FileNotFoundError:
        raise StudyError(f"no {path}; {repair} first") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"cannot prove by {path}: {error}; {repair} again") from None


def _find_name(sums: Mapping[str, str], file: str, path: Path) -> str:
    if file in sums:
        return file
    if Path(file).is_file():
        sha256 = hash_file(Path(file))
        for name, listed in sums.items():
            if listed == sha256:
                return name
    ends = [name for name in sums if name.endswith(f"/{file}")]
    if len(ends) == 1:
        return ends[0]
    if ends:
        shown = ", ".join(ends[:5]) + (", ..." if ends[5:] else "")
        raise StudyError(f"{len(ends)} files of this study end in {file}: {shown}; name one")
    raise StudyError(
        f"{file} is no file of this study: {path} lists neither its name nor its bytes;"
        " run upscale-audit ingest after adding it"
    )
