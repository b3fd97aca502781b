"""Verify what stages wrote: hash every byte again, name what differs and what repairs it.

A file changed alone is caught by its manifest; one changed with its manifest by the next stage's,
which holds the hash of the true one. Who rewrites every stage after it too is caught only by what
lies elsewhere: a Merkle root printed in a paper, a manifest kept by someone else.
"""

import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import StudyError
from ingest.files import hash_file, hash_json, to_text
from ingest.manifests import (
    MANIFEST,
    SOURCES,
    SUMS,
    find_files_root,
    format_sums,
    read_manifest,
)
from ingest.merkle import find_root
from ingest.sources import find_sources
from warehouse.hashing import hash_files
from warehouse.lineage import read_sums
from warehouse.provenance import WAREHOUSE_MANIFEST

STAGES = {"raw": "ingest", "warehouse": "build", "exports": "export", "figures": "figures"}
"""What a paper is made from, and the command that writes it, in that order."""

COMMANDS = STAGES | {"paper": "paper"}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as a manifest says.

    Attributes
    ----------
    problem : {"differs", "missing", "extra", "link", "unreadable", "inconsistent", "outdated"}
    name : str
        File, relative to what was verified.
    expected, found : str or None
        SHA-256, or what takes its place.
    repair : str
        The command that mends it.
    """

    problem: str
    name: str
    expected: str | None
    found: str | None
    repair: str


@dataclass(frozen=True)
class VerifyReport:
    """What was hashed and found; `roots` are Merkle roots by stage."""

    files: int
    bytes: int
    findings: tuple[Finding, ...]
    roots: dict[str, str]


@dataclass(frozen=True)
class _Stage:
    """A manifest and where its files lie."""

    kind: str
    folder: Path
    manifest_path: Path
    study_path: str
    prefix: str = ""

    @property
    def repair(self):
        return f"upscale-audit {COMMANDS[self.kind]} {shlex.quote(self.study_path)}"


def verify(path, study=None, progress=None):
    """Hash everything under a path again and compare it with its manifests.

    Parameters
    ----------
    path : Path
        A study's output folder, a raw, exports, figures or paper folder, or a
        warehouse.duckdb.
    study : ingest.study.Study, optional
        With it, where the raw folder is verified, the source files are hashed too and compared
        with ``raw/sources.sha256``.
    progress : callable, optional
        Called as ``progress(done, total, name)`` with megabytes.

    Returns
    -------
    VerifyReport

    Raises
    ------
    StudyError
        There is nothing to verify at `path`.
    """
    stages = _find_stages(Path(path), "STUDY.toml" if study is None else str(study.path))
    manifests, findings = _read_manifests(stages)
    expected = _collect_files(manifests)
    sources = {} if study is None else _collect_sources(study, manifests)
    paths = {path for path, *_ in expected.values() if not path.is_symlink()}
    paths |= {path for path, _ in sources.values() if path is not None}
    hashes = hash_files(paths, progress)
    for stage, manifest in manifests.items():
        findings += _check_manifest(stage, manifest)
        findings += _find_extra(stage, manifest)
    findings += _check_files(expected, hashes)
    findings += _check_sources(sources, hashes, study)
    findings += _check_parents(manifests)
    return VerifyReport(
        files=len(paths),
        bytes=sum(path.stat().st_size for path in paths if hashes[path]),
        findings=tuple(sorted(set(findings), key=lambda item: (item.name, item.problem))),
        roots=_list_roots(manifests),
    )


def _read_manifests(stages):
    manifests, findings = {}, []
    for stage in stages:
        try:
            manifest = read_manifest(stage.manifest_path, stage.repair)
        except StudyError:
            manifest = None
        if manifest is not None and manifest["kind"] == stage.kind:
            manifests[stage] = manifest
        else:
            name = stage.prefix + stage.manifest_path.name
            problem = "differs" if stage.manifest_path.exists() else "missing"
            findings.append(
                Finding(problem, name, f"a manifest of {stage.kind}", None, stage.repair)
            )
    return manifests, findings


def _find_stages(path, study_path):
    manifest = path.with_name(WAREHOUSE_MANIFEST)
    if path.suffix == ".duckdb" and (path.is_file() or manifest.is_file()):
        return [_Stage("warehouse", path.parent, manifest, study_path)]
    if not path.is_dir():
        raise StudyError(f"nothing to verify at {path}; name a study file or what a study wrote")
    stages = []
    for kind in COMMANDS:
        manifest = path / kind / MANIFEST
        if kind == "warehouse":
            manifest = path / WAREHOUSE_MANIFEST
            if manifest.exists() or (path / "warehouse.duckdb").exists():
                stages.append(_Stage(kind, path, manifest, study_path))
        elif manifest.parent.is_dir():
            stages.append(_Stage(kind, manifest.parent, manifest, study_path, f"{kind}/"))
    own = _find_own_stage(path, study_path)
    if own is not None:
        # A paper's folder holds other stages: each is checked against its own manifest too.
        return [own, *(stage for stage in stages if stage.kind in ("exports", "figures"))]
    if not stages:
        raise StudyError(
            f"{path} holds no {MANIFEST} and no stage of a study; run upscale-audit run first"
        )
    return stages


def _find_own_stage(path, study_path):
    if not (path / MANIFEST).exists():
        kind = path.name if path.name in COMMANDS and path.name != "warehouse" else None
        return None if kind is None else _Stage(kind, path, path / MANIFEST, study_path)
    manifest = read_manifest(path / MANIFEST, "the command that wrote it")
    if manifest["kind"] not in COMMANDS or manifest["kind"] == "warehouse":
        raise StudyError(f"{path / MANIFEST} names an unknown kind {manifest['kind']!r}")
    return _Stage(manifest["kind"], path, path / MANIFEST, study_path)


def _collect_files(manifests):
    """Path, name, expected hash and stage of every file the manifests list."""
    expected = {}
    for stage, manifest in manifests.items():
        for name, sha256 in manifest["files"].items():
            if is_safe_name(name):
                shown = stage.prefix + name
                expected[stage, name] = (stage.folder / name, shown, sha256, stage.repair)
    return expected


def is_safe_name(name):
    """Whether a name stays inside the folder it is joined to."""
    parts = name.split("/")
    return "\\" not in name and "\0" not in name and not {"", ".", ".."} & set(parts)


def _check_files(expected, hashes):
    for path, name, sha256, repair in expected.values():
        if path.is_symlink():
            yield Finding("link", name, sha256, None, repair)
        elif hashes[path] is None:
            problem = "unreadable" if path.exists() else "missing"
            yield Finding(problem, name, sha256, None, repair)
        elif hashes[path] != sha256:
            yield Finding("differs", name, sha256, hashes[path], repair)


def _check_manifest(stage, manifest):
    """Whether a manifest agrees with itself, and its hash list with it."""
    files = {name: sha256 for name, sha256 in manifest["files"].items() if name != SUMS}
    stated = {
        "recipe_sha256": hash_json(manifest["recipe"]),
        "content_sha256": hash_json(manifest["files"]),
        "merkle_root": find_files_root(files),
    }
    name = stage.prefix + stage.manifest_path.name
    sources = stage.folder / SOURCES
    if stage.kind == "raw" and sources.is_file():
        stated["sources_root"] = find_root(sources.read_bytes().splitlines(keepends=True))
    for field, found in stated.items():
        if manifest.get(field) != found:
            stated_value = str(manifest.get(field))
            yield Finding("inconsistent", f"{name}: {field}", stated_value, found, stage.repair)
    for file in filter(lambda file: not is_safe_name(file), manifest["files"]):
        yield Finding("inconsistent", f"{name}: {file!r}", "a name inside", file, stage.repair)
    sums = stage.folder / SUMS
    if SUMS in manifest["files"] and sums.is_file():
        text = sums.read_bytes()
        if text != format_sums(files).encode("utf-8"):
            shown = f"{stage.prefix}{SUMS}"
            yield Finding("inconsistent", shown, "the manifest's files", "others", stage.repair)


def _find_extra(stage, manifest):
    """Files that no manifest lists; links are named and never followed."""
    if stage.kind == "warehouse":
        return
    known = {*manifest["files"], stage.manifest_path.name}
    for path in walk(stage.folder):
        name = to_text(path.relative_to(stage.folder).as_posix())
        if name not in known:
            problem = "extra" if stat.S_ISREG(path.lstat().st_mode) else "link"
            repair = f"rm -- {shlex.quote(str(path))}"
            yield Finding(problem, stage.prefix + name, None, None, repair)


def walk(folder):
    """Yield everything in a folder that is no folder, in order; links are not followed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)
        else:
            yield path


def _collect_sources(study, manifests):
    """Path (None where missing) and expected hash of each source file, by its name.

    Empty where the raw folder's list of them is not as its manifest says: that is a finding of
    its own, and nothing can be held against the list.
    """
    path = study.raw / SOURCES
    listed = {m["files"].get(SOURCES) for stage, m in manifests.items() if stage.kind == "raw"}
    if not path.is_file() or hash_file(path) not in listed:
        return {}
    recorded, found = read_sums(path.read_text(encoding="utf-8")), find_sources(study)
    names = {*recorded, *found}
    return {name: (found.get(name), recorded.get(name)) for name in names}


def _check_sources(sources, hashes, study):
    for name, (path, sha256) in sources.items():
        again = f"upscale-audit ingest {shlex.quote(str(study.path))}"
        restore = f"put the recorded file back, or measure what is there: {again}"
        if path is None:
            yield Finding("missing", f"sources/{name}", sha256, None, restore)
        elif sha256 is None:
            yield Finding("extra", f"sources/{name}", None, hashes[path], again)
        elif hashes[path] is None:
            yield Finding("unreadable", f"sources/{name}", sha256, None, restore)
        elif hashes[path] != sha256:
            yield Finding("differs", f"sources/{name}", sha256, hashes[path], restore)


def _check_parents(manifests):
    """Whether each stage was made from the stage that now stands before it."""
    roots = {stage.folder for stage in manifests if stage.kind == "paper"}
    for stage, manifest in manifests.items():
        base = stage.folder if stage.kind in ("warehouse", "paper") else stage.folder.parent
        if stage.kind != "paper" and base in roots:
            base = base / "provenance"
        for name, sha256 in manifest["parents"].items():
            parent = base / name
            if not is_safe_name(name) or not parent.is_file():
                continue
            found = hash_file(parent)
            if found != sha256:
                shown = stage.prefix + stage.manifest_path.name
                yield Finding("outdated", f"{shown}: {name}", sha256, found, stage.repair)


def _list_roots(manifests):
    roots = {stage.kind: manifest["merkle_root"] for stage, manifest in manifests.items()}
    for manifest in manifests.values():
        if isinstance(manifest.get("sources_root"), str):
            roots = {"sources": manifest["sources_root"]} | roots
    return roots
