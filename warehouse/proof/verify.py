"""Verify what stages wrote: hash every byte again, name what differs and what repairs it.

A file changed alone is caught by its manifest; one changed with its manifest by the next stage's,
which holds the hash of the true one, or by the journal of what was signed since
(`ingest.vouchers`). Who rewrites every stage after it too is caught only by what lies elsewhere: a
Merkle root printed in a paper, a manifest kept by someone else.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, to_text
from upscale_audit.ingest.manifests import (
    MANIFEST,
    SOURCES,
    SUMS,
    format_sums,
    read_manifest,
    restate,
)
from upscale_audit.ingest.merkle import find_root
from upscale_audit.ingest.sources import find_sources
from upscale_audit.ingest.vouchers import Journal, find_stage_vouchers
from upscale_audit.warehouse.lineage import read_sums
from upscale_audit.warehouse.proof.hashing import hash_files
from upscale_audit.warehouse.proof.provenance import (
    DOCS_MANIFEST,
    LINKS,
    REPORTS,
    WAREHOUSE_MANIFEST,
)

if TYPE_CHECKING:
    from upscale_audit.ingest.manifests import Manifest
    from upscale_audit.ingest.study import Study


STAGES = {
    "raw": "ingest",
    "warehouse": "build",
    "exports": "export",
    "exported": "export",
    "figures": "figures",
    "drawn": "figures",
}
"""What a paper is made from, and the command that writes it, in that order."""

COMMANDS = STAGES | {
    "hyra": "hyra", "phantoms": "phantom", "readings": "read",
    "docs": "docs", "report": "report",
    "report_ja": "report", "maps": "map",
    "paper": "paper", "certificate": "certify",
}  # fmt: skip

_FILES = (
    {
        "warehouse": ("warehouse.duckdb", WAREHOUSE_MANIFEST),
        "docs": ("docs.html", DOCS_MANIFEST),
    }
    | {kind: (page, beside) for kind, page, beside in REPORTS.values()}
    | {kind: (f"{folder}/{MANIFEST}", beside) for folder, (kind, beside) in LINKS.items()}
)
"""Stages of one file, with a manifest beside it."""

_MAP = re.compile(r"(notta|tta)_(\d+px|worst)(_ja)?")


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
    """A manifest and where its files lie.

    `base` is where the manifests of its parents lie, None where that is not known; `owner` is the
    stage that lists this one's files as its own.
    """

    kind: str
    folder: Path
    manifest_path: Path
    study_path: str
    prefix: str = ""
    base: Path | None = None
    owner: _Stage | None = None

    def repair(self, manifest: Manifest | None = None) -> str:
        """Spell the command that writes the stage; `manifest` says what it was given."""
        if self.owner is not None:
            return self.owner.repair()
        if self.kind == "certificate":
            folder = shlex.quote(str(self.folder))
            return f"upscale-audit certify --lr DIR --restored DIR --out {folder}"
        if self.kind == "phantoms":
            # From the study that was copied, of which nothing here knows the place.
            folder = shlex.quote(str(self.folder.parent))
            return f"upscale-audit phantom STUDY.toml --out {folder}"
        recipe = {} if manifest is None else manifest["recipe"]
        command, arguments = recipe.get("command"), recipe.get("arguments")
        if command not in ("map", "worst"):
            command = COMMANDS[self.kind]
        if not isinstance(arguments, list) or not all(isinstance(a, str) for a in arguments):
            arguments = []
        if manifest is None and self.kind == "maps":
            command, arguments = self._read_map_folder()
        if self.kind == "paper" and not self.prefix:
            arguments = [*arguments, "--folder", str(self.folder)]
        return shlex.join(["upscale-audit", command, self.study_path, *arguments])

    def _read_map_folder(self) -> tuple[str, list[str]]:
        """Command and arguments of a map, as far as its folder's name tells them."""
        parts = self.folder.parts
        matches = (_MAP.fullmatch(part) for part in parts)
        at, match = next(((n, match) for n, match in enumerate(matches) if match), (0, None))
        names = list(reversed(parts[at + 1 :]))
        if match is None or not names:
            return "map", ["IMAGE_ID", "MODEL_ID"]
        inference_path, what, language = match.groups()
        chosen = [] if inference_path == "notta" else ["--path", inference_path]
        chosen += ["--lang", "ja"] if language else []
        if what == "worst":
            return "worst", [*names, *chosen]
        patch_px = what.removesuffix("px")
        return "map", [*names, *chosen, *([] if patch_px == "8" else ["--patch", patch_px])]


def verify(
    path: Path,
    study: Study | None = None,
    progress: Callable[..., None] | None = None,
    kinds: Collection[str] = COMMANDS,
) -> VerifyReport:
    """Hash everything under a path again and compare it with its manifests.

    Parameters
    ----------
    path : Path
        A study's output folder, a raw, exports, figures, maps or paper folder, a
        warehouse.duckdb or docs.html.
    study : ingest.study.Study, optional
        With it, where the raw folder is verified, the source files are hashed too and compared
        with ``raw/sources.sha256``.
    progress : callable, optional
        Called as ``progress(done, total, name)`` with megabytes.
    kinds : collection of str
        The stages that are verified; by default every one there is.

    Returns
    -------
    VerifyReport

    Raises
    ------
    StudyError
        There is nothing to verify at `path`.
    """
    stages = _find_stages(Path(path), "STUDY.toml" if study is None else str(study.path))
    manifests, findings = _read_manifests([stage for stage in stages if stage.kind in kinds])
    expected = _collect_files(manifests)
    archives, unlisted = _collect_archives(manifests)
    expected |= archives | _collect_named(study, manifests)
    findings += unlisted
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
    findings += _check_vouchers(manifests)
    if study is not None and Path(path) == study.output:
        named = {finding.name for finding in findings}
        findings += [item for item in _find_gone(manifests) if item.name not in named]
    return VerifyReport(
        files=len(paths),
        bytes=sum(path.stat().st_size for path in paths if hashes[path]),
        findings=tuple(sorted(set(findings), key=lambda item: (item.name, item.problem))),
        roots=_list_roots(manifests),
    )


def _read_manifests(
    stages: Sequence[_Stage],
) -> tuple[dict[_Stage, Manifest], list[Finding]]:
    manifests, findings = {}, []
    for stage in stages:
        try:
            manifest = read_manifest(stage.manifest_path, stage.repair())
        except StudyError:
            manifest = None
        if manifest is not None and manifest["kind"] == stage.kind:
            manifests[stage] = manifest
        else:
            name = stage.prefix + stage.manifest_path.name
            problem = "differs" if stage.manifest_path.exists() else "missing"
            findings.append(
                Finding(problem, name, f"a manifest of {stage.kind}", None, stage.repair())
            )
    return manifests, findings


def _find_stages(path: Path, study_path: str) -> list[_Stage]:
    for kind, (name, manifest_name) in _FILES.items():
        manifest = path.with_name(manifest_name)
        if path.name == name and (path.is_file() or manifest.is_file()):
            return [_Stage(kind, path.parent, manifest, study_path, base=path.parent)]
    if not path.is_dir():
        raise StudyError(f"nothing to verify at {path}; name a study file or what a study wrote")
    own = None if not (path / MANIFEST).exists() else _read_own_stage(path, study_path)
    stages = list(_list_output_stages(path, study_path))
    if own is None and not stages and path.name in ("raw", "hyra", "exports", "figures", "paper"):
        own = _Stage(path.name, path, path / MANIFEST, study_path, base=path.parent)
    if own is None and not stages and path.name == "maps":
        stages = list(_list_maps(path, study_path, "", path.parent))
    if own is not None:
        # A paper's folder holds other stages, whose files it lists among its own.
        inner = [stage for stage in stages if stage.kind in ("exports", "figures")]
        provenance = path / "provenance"
        for kind, beside in LINKS.values():
            if (provenance / beside).exists():
                inner.append(_Stage(kind, path, provenance / beside, study_path))
        return [own, *(replace(stage, base=provenance, owner=own) for stage in inner)]
    if not stages:
        raise StudyError(
            f"{path} holds no {MANIFEST} and no stage of a study; run upscale-audit run first"
        )
    return stages


def _list_output_stages(path: Path, study_path: str) -> Iterator[_Stage]:
    """Yield the stages of a study's output folder, or those a paper's folder holds."""
    for kind in COMMANDS:
        folder = path / kind
        if kind in _FILES:
            name, manifest_name = _FILES[kind]
            if (path / manifest_name).exists() or (path / name).exists():
                yield _Stage(kind, path, path / manifest_name, study_path, base=path)
        elif kind == "maps":
            yield from _list_maps(folder, study_path, "maps/", path)
        elif folder.is_dir():
            base = folder if kind == "paper" else path
            yield _Stage(kind, folder, folder / MANIFEST, study_path, f"{kind}/", base)


def _list_maps(folder: Path, study_path: str, prefix: str, base: Path) -> Iterator[_Stage]:
    """Yield every folder that holds a map's files, whole or not."""
    if not folder.is_dir() or folder.is_symlink():
        return
    for found in sorted({path.parent for path in walk(folder)}):
        inner = found.relative_to(folder).as_posix()
        shown = prefix if inner == "." else f"{prefix}{inner}/"
        yield _Stage("maps", found, found / MANIFEST, study_path, shown, base)


def _read_own_stage(path: Path, study_path: str) -> _Stage:
    manifest = read_manifest(path / MANIFEST, "the command that wrote it")
    kind = manifest["kind"]
    if kind not in COMMANDS or kind in _FILES:
        raise StudyError(f"{path / MANIFEST} names an unknown kind {kind!r}")
    base: Path | None = path if kind == "paper" else path.parent
    if kind == "maps":
        base = next((folder.parent for folder in path.parents if folder.name == "maps"), None)
    return _Stage(kind, path, path / MANIFEST, study_path, base=base)


def _collect_files(manifests: Mapping[_Stage, Manifest]) -> Any:
    """Path, name, expected hash and stage of every file the manifests list."""
    expected = {}
    for stage, manifest in manifests.items():
        if stage.owner is not None:
            continue
        for name, sha256 in manifest["files"].items():
            if is_safe_name(name):
                shown = stage.prefix + name
                repair = stage.repair(manifest)
                expected[stage, name] = (stage.folder / name, shown, sha256, repair)
    return expected


def _collect_archives(
    manifests: Mapping[_Stage, Manifest],
) -> tuple[dict[Any, Any], list[Finding]]:
    """Find the zip beside each paper, as `_collect_files` does its files, and what is wrong."""
    expected, findings = {}, []
    for stage, manifest in manifests.items():
        if stage.kind != "paper":
            continue
        archive = stage.folder.with_name(f"{stage.folder.name}.zip")
        sums = archive.with_name(f"{archive.name}.sha256")
        if not sums.is_file():
            # Unpacked from a repository's zip, a paper has no hash list beside that.
            if stage.prefix:
                problem = ("missing", sums.name, "the archive's SHA-256", None)
                findings.append(Finding(*problem, stage.repair(manifest)))
            continue
        text = sums.read_bytes()
        match = re.fullmatch(rb"([0-9a-f]{64})  (.+)\n", text)
        if match is None or match[2] != os.fsencode(archive.name):
            problem = ("differs", sums.name, f"one line, of {archive.name}", None)
            findings.append(Finding(*problem, stage.repair(manifest)))
        else:
            found = (archive, archive.name, match[1].decode(), stage.repair(manifest))
            expected[stage, archive] = found
    return expected, findings


def _collect_named(
    study: Study | None, manifests: Mapping[_Stage, Manifest]
) -> dict[tuple[_Stage, Path], Any]:
    """Find the files that a study names behind each warehouse, as `_collect_files` does its own."""
    if study is None:
        return {}
    return {
        (stage, path): (
            path,
            path.name,
            sha256,
            f"put back what {writer} wrote, or run upscale-audit build with the file as it is",
        )
        for name, writer in (("frozen", "freeze"), ("detectors", "detectors"))
        if (path := getattr(study, name)) is not None
        for stage, manifest in manifests.items()
        if stage.kind == "warehouse"
        and (sha256 := manifest["recipe"].get("inputs", {}).get(name)) is not None
    }


def is_safe_name(name: str) -> bool:
    """Whether a name stays inside the folder it is joined to."""
    parts = name.split("/")
    return "\\" not in name and "\0" not in name and not {"", ".", ".."} & set(parts)


def _check_files(expected: Any, hashes: Mapping[Path, str | None]) -> Iterator[Finding]:
    for path, name, sha256, repair in expected.values():
        if path.is_symlink():
            yield Finding("link", name, sha256, None, repair)
        elif hashes[path] is None:
            problem = "unreadable" if path.exists() else "missing"
            yield Finding(problem, name, sha256, None, repair)
        elif hashes[path] != sha256:
            yield Finding("differs", name, sha256, hashes[path], repair)


def _check_manifest(stage: _Stage, manifest: Manifest) -> Iterator[Finding]:
    """Whether a manifest agrees with itself, and its hash list with it."""
    files = {name: sha256 for name, sha256 in manifest["files"].items() if name != SUMS}
    stated = restate(manifest)
    name, repair = stage.prefix + stage.manifest_path.name, stage.repair(manifest)
    sources = stage.folder / SOURCES
    if stage.kind == "raw" and sources.is_file():
        stated["sources_root"] = find_root(sources.read_bytes().splitlines(keepends=True))
    for field, found in stated.items():
        if manifest.get(field) != found:
            stated_value = str(manifest.get(field))
            yield Finding("inconsistent", f"{name}: {field}", stated_value, found, repair)
    for file in filter(lambda file: not is_safe_name(file), manifest["files"]):
        yield Finding("inconsistent", f"{name}: {file!r}", "a name inside", file, repair)
    sums = stage.folder / SUMS
    if SUMS in manifest["files"] and sums.is_file():
        text = sums.read_bytes()
        if text != format_sums(files).encode("utf-8"):
            shown = f"{stage.prefix}{SUMS}"
            yield Finding("inconsistent", shown, "the manifest's files", "others", repair)


def _find_extra(stage: _Stage, manifest: Manifest) -> Iterator[Finding]:
    """Files that no manifest lists; links are named and never followed."""
    if stage.kind in _FILES or stage.owner is not None:
        return
    known = {*manifest["files"], stage.manifest_path.name}
    for path in walk(stage.folder):
        name = to_text(path.relative_to(stage.folder).as_posix())
        if name not in known:
            problem = "extra" if stat.S_ISREG(path.lstat().st_mode) else "link"
            repair = f"rm -- {shlex.quote(str(path))}"
            yield Finding(problem, stage.prefix + name, None, None, repair)


def walk(folder: Path) -> Iterator[Path]:
    """Yield everything in a folder that is no folder, in order; links are not followed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)
        else:
            yield path


def _collect_sources(
    study: Study, manifests: Mapping[_Stage, Manifest]
) -> dict[str, tuple[Path | None, str | None]]:
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


def _check_sources(
    sources: Mapping[str, tuple[Path | None, str | None]],
    hashes: Mapping[Path, str | None],
    study: Study | None,
) -> Iterator[Finding]:
    again = "" if study is None else f"upscale-audit ingest {shlex.quote(str(study.path))}"
    for name, (path, sha256) in sources.items():
        restore = f"put the recorded file back, or measure what is there: {again}"
        if path is None:
            yield Finding("missing", f"sources/{name}", sha256, None, restore)
        elif sha256 is None:
            yield Finding("extra", f"sources/{name}", None, hashes[path], again)
        elif hashes[path] is None:
            yield Finding("unreadable", f"sources/{name}", sha256, None, restore)
        elif hashes[path] != sha256:
            yield Finding("differs", f"sources/{name}", sha256, hashes[path], restore)


def _check_parents(manifests: Mapping[_Stage, Manifest]) -> Iterator[Finding]:
    """Whether each stage was made from the stage that now stands before it."""
    for stage, manifest in manifests.items():
        for name, sha256 in manifest["parents"].items():
            parent = None if stage.base is None else stage.base / name
            if parent is None or not is_safe_name(name) or not parent.is_file():
                continue
            found = hash_file(parent)
            if found != sha256:
                shown = f"{stage.prefix}{stage.manifest_path.name}: {name}"
                yield Finding("outdated", shown, sha256, found, stage.repair(manifest))


def _find_gone(manifests: Mapping[_Stage, Manifest]) -> Iterator[Finding]:
    """Name the manifest of each stage that others were made from, and that is not there."""
    kinds = {beside: kind for kind, (_, beside) in _FILES.items()}
    gone = {}
    for stage, manifest in manifests.items():
        for name, sha256 in manifest["parents"].items():
            if stage.base is None or not is_safe_name(name) or (stage.base / name).exists():
                continue
            kind = kinds.get(name, name.partition("/")[0])
            path = stage.base / name
            parent = replace(stage, kind=kind, folder=path.parent, manifest_path=path)
            gone[name] = sha256, parent if kind in COMMANDS else stage
    for name, (sha256, stage) in gone.items():
        yield Finding("missing", name, sha256, None, stage.repair())


def _check_vouchers(manifests: Mapping[_Stage, Manifest]) -> Iterator[Finding]:
    """Whether what was measured or mapped is what was signed, as far as anything outside says."""
    for stage in manifests:
        vouched = None if stage.base is None else _find_vouchers(stage, stage.base)
        found = hash_file(stage.manifest_path)
        if vouched is not None and found not in vouched:
            expected = " or ".join(sorted(vouched)) or "a signed one"
            name = stage.prefix + stage.manifest_path.name
            yield Finding("differs", name, expected, found, stage.repair())


def _find_vouchers(stage: _Stage, base: Path) -> set[str] | None:
    """SHA-256s that a stage's manifest may have; None where nothing outside of it says."""
    if stage.kind in ("raw", "hyra", "phantoms", "readings"):
        return find_stage_vouchers(base, stage.kind)
    signed = Journal(base, "maps").read() if stage.kind == "maps" else None
    if signed is None:
        return None
    found: set[str] | None = signed.get(stage.manifest_path.relative_to(base).as_posix(), set())
    return found


def _list_roots(manifests: Mapping[_Stage, Manifest]) -> dict[str, str]:
    roots = {
        stage.kind: manifest["merkle_root"]
        for stage, manifest in manifests.items()
        if stage.kind not in ("maps", *(kind for kind, _ in LINKS.values()))
    }
    for manifest in manifests.values():
        sources_root = manifest.get("sources_root")
        if isinstance(sources_root, str):
            roots = {"sources": sources_root} | roots
    return roots
