"""A certificate: which restored images contradict their LR images, in files that are verified."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from upscale_audit.ingest.certify import Task, Verdict, judge_files, repair_files
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import name_within, replacing, to_text, write_text
from upscale_audit.ingest.manifests import MANIFEST, describe_code, read_manifest, seal_folder
from upscale_audit.ingest.pairing import list_images, match_folder
from upscale_audit.ingest.stated_window import name_window
from upscale_audit.warehouse.proof.verify import walk
from upscale_audit.warehouse.published_form import write_as_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.pairing import RefusedName
    from upscale_audit.ingest.stated_window import Window


TABLE, REPAIRED = "certificate", "repaired"
MAPS = "maps"
_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}
_SCHEMA = pa.schema(
    [
        pa.field(name, _TYPES[next(iter(get_args(kind)), kind)])
        for name, kind in get_type_hints(Verdict).items()
    ]
)
_SCALE_DN = 8.0
"""Residual at which a map's colour is full."""


@dataclass(frozen=True)
class Certificate:
    """What was judged: counts by status, the verdicts, and where the files lie."""

    counts: Counter
    verdicts: tuple[Verdict, ...]
    folder: Path
    merkle_root: str


def certify(
    lr: Path,
    restored: Mapping[str, Path],
    out: Path,
    lr_rule: str | None = None,
    pairing: str = "suffix",
    progress: Callable[..., None] | None = None,
    has_maps: bool = True,
    window: Window | None = None,
) -> Certificate:
    """Judge folders of restored images by the LR images they were made of.

    Parameters
    ----------
    lr : Path
        Folder of the LR images.
    restored : dict of str to Path
        Folder of restored images by model.
    out : Path
        Receives certificate.csv, certificate.parquet, maps/ and manifest.json; a certificate that
        stands there is replaced.
    lr_rule : {"antialiased", "opencv_cubic"}, optional
        How the LR images were made. Without it each image is judged by every known rule and is
        contradicted only if it is so by all.
    pairing : {"suffix", "exact"}
        How a restored file's name may differ from its LR image's, `ingest.pairing.pair_study`.
    progress : callable, optional
        Called as ``progress(done, total)``.
    has_maps : bool
        Whether a map is drawn of each contradicted image.
    window : ingest.windows.Window, optional
        How LR and restored images of more than 8 bits are shown, both alike.

    Returns
    -------
    Certificate

    Raises
    ------
    StudyError
        A folder cannot be read, holds no image, or `out` holds something else.

    Notes
    -----
    The same files give the same bytes: a third party verifies the hashes with ``verify``, and the
    judgement by running this again.
    """
    _check_place(out, [lr, *restored.values()])
    tasks, refused = _plan(lr, restored, lr_rule, pairing, window)
    fresh = out.with_name(f".{out.name}.next")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        verdicts, names = [], []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, (verdict, residual) in enumerate(pool.map(judge_files, tasks), start=1):
                verdicts.append(verdict)
                if has_maps and residual is not None and verdict.status == "contradicted":
                    names.append(_write_map(fresh, verdict, residual))
                if progress is not None:
                    progress(done, len(tasks))
        names += _write_tables(fresh, verdicts)
        manifest = seal_folder(
            fresh,
            "certificate",
            TABLE,
            names,
            _describe_recipe(verdicts, refused, lr_rule, window),
            {},
        )
        shutil.rmtree(out, ignore_errors=True)
        os.replace(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    counts = Counter(verdict.status for verdict in verdicts)
    return Certificate(counts, tuple(verdicts), out, manifest["merkle_root"])


def repair(
    lr: Path,
    restored: Path,
    out: Path,
    lr_rule: str,
    pairing: str = "suffix",
    progress: Callable[..., None] | None = None,
) -> list[tuple[Verdict, Verdict | None]]:
    """Write each restored image changed as little as its LR image demands.

    Parameters
    ----------
    lr, restored, out : Path
        `out` receives a PNG of each LR image's name, and a manifest; what an earlier repair wrote
        there is replaced.
    lr_rule : {"antialiased", "opencv_cubic"}
    pairing : {"suffix", "exact"}
    progress : callable, optional

    Returns
    -------
    list of tuple
        Verdicts before and after by image; the second None where it could not be judged.

    Raises
    ------
    StudyError
        As `certify`.
    """
    _check_place(out, [lr, restored], f"{REPAIRED}.csv")
    tasks, refused = _plan(lr, {REPAIRED: restored}, lr_rule, pairing)
    fresh = out.with_name(f".{out.name}.next")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        verdicts, names = [], []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, (before, pixels, after) in enumerate(pool.map(repair_files, tasks), start=1):
                verdicts.append((before, after))
                if pixels is not None:
                    Image.fromarray(pixels).save(fresh / f"{before.image}.png")
                    names.append(f"{before.image}.png")
                if progress is not None:
                    progress(done, len(tasks))
        _write_csv(fresh / f"{REPAIRED}.csv", [after or before for before, after in verdicts])
        recipe = _describe_recipe([before for before, _ in verdicts], refused, lr_rule)
        seal_folder(fresh, "certificate", REPAIRED, [*names, f"{REPAIRED}.csv"], recipe, {})
        shutil.rmtree(out, ignore_errors=True)
        os.replace(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return verdicts


def _check_place(out: Path, folders: Sequence[Path], own: str = f"{TABLE}.csv") -> None:
    """Refuse to write where something else lies than what is `own`."""
    for folder in folders:
        if out == folder or out in folder.parents:
            raise StudyError(f"{out} holds images that are judged; name another folder as --out")
        if folder in out.parents:
            raise StudyError(
                f"{out} lies among images that are judged, and would be judged with them next time;"
                " name another folder as --out"
            )
    if out.exists() and not out.is_dir():
        raise StudyError(f"{out} is a file; name a folder as --out")
    foreign = _find_foreign(out, own) if out.is_dir() else None
    if foreign is not None:
        raise StudyError(
            f"{out} holds {foreign!r}, which is no part of {own} and what was written with it; move"
            " it, or give another --out"
        )


def _find_foreign(out: Path, own: str) -> str | None:
    """Name a file that no earlier run of this command put there; None where there is none."""
    names = [path.relative_to(out).as_posix() for path in walk(out)]
    known = {MANIFEST}
    if own in names and MANIFEST in names:
        known |= set(read_manifest(out / MANIFEST, "upscale-audit certify")["files"])
    return next((to_text(name) for name in names if to_text(name) not in known), None)


def _plan(
    lr: Path,
    restored: Mapping[str, Path],
    lr_rule: str | None,
    pairing: str,
    window: Window | None = None,
) -> tuple[list[Task], list[RefusedName]]:
    """Plan a task for each LR image and model; say which files belong to none."""
    images, refused = list_images(lr, ("lr", None, None))
    if not images:
        raise StudyError(
            f"no LR image in {lr}: expected PNG, JPEG, TIFF or WebP files; --lr names the folder"
        )
    tasks = []
    for model, folder in sorted(restored.items()):
        owner = ("restored", model, None)
        others = [lr, *(place for place in restored.values() if place != folder)]
        pairs, names = match_folder(folder, images, owner, pairing, others)
        refused += names
        if all(pair.file is None for pair in pairs):
            raise StudyError(
                f"no file in {folder} has the name of an LR image in {lr} under the rule"
                f" {pairing!r}: the first is {to_text(next(iter(images)))!r}"
            )
        for pair in pairs:
            path = images[pair.image_id]
            tasks.append(
                Task(
                    model=model,
                    image=to_text(pair.image_id),
                    lr=path,
                    lr_name=name_within(path, lr),
                    restored=pair.file,
                    restored_name=pair.name or "",
                    lr_rule=lr_rule,
                    reason=f"restored file: {pair.status}",
                    window=window,
                )
            )
    return sorted(tasks, key=lambda task: (task.model, task.image)), refused


def _describe_recipe(
    verdicts: Sequence[Verdict],
    refused: Sequence[RefusedName],
    lr_rule: str | None,
    window: Window | None = None,
) -> Any:
    """Name what decides the bytes: the rule, the code, and every file that was read."""
    files = {}
    for verdict in verdicts:
        files[f"lr/{verdict.lr_file}"] = verdict.lr_sha256
        if verdict.restored_file:
            files[f"restored/{verdict.model}/{verdict.restored_file}"] = verdict.restored_sha256
    return name_window(window) | {
        "rule": lr_rule or "every known rule",
        "code": describe_code("ingest"),
        "inputs": dict(sorted(files.items())),
        "passed_over": sorted(f"{item.role}/{item.name}: {item.code}" for item in refused),
    }


def _write_tables(folder: Path, verdicts: Sequence[Verdict]) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [vars(verdict) for verdict in verdicts]
    _write_csv(folder / f"{TABLE}.csv", verdicts)
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    with replacing(folder / f"{TABLE}.parquet") as place:
        pq.write_table(table, place, compression="zstd")
    return [f"{TABLE}.csv", f"{TABLE}.parquet"]


def _write_csv(path: Path, verdicts: Sequence[Verdict]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_SCHEMA.names)
    for verdict in verdicts:
        writer.writerow([write_as_text(cell) for cell in vars(verdict).values()])
    write_text(path, text.getvalue())


def _write_map(folder: Path, verdict: Verdict, residual: npt.NDArray[np.float32]) -> str:
    """Draw an image's residuals: blue too dark, red too bright, grey not judged."""
    share = np.clip(np.nan_to_num(residual) / _SCALE_DN, -1, 1)
    fade = np.abs(share)[..., None]
    full = np.where(share[..., None] > 0, (213, 94, 0), (0, 114, 178))
    pixels = np.rint(255 + (full - 255) * fade).astype(np.uint8)
    pixels[np.isnan(residual)] = 190
    name = f"{MAPS}/{verdict.model}/{verdict.image}.png"
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(place, optimize=True)
    return name
