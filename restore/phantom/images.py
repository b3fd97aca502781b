"""The copies of one image: drawn into, restored, written, and signed off together.

A unit is one image of the study with all its copies. Its list in ``phantoms/units`` is written
last and names every file by its hash: without it, or with a file that is not as it says, the unit
is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from PIL import Image

from upscale_audit.ingest.documents import read_document
from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.files import hash_file, hash_json, replacing, to_text, write_text
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.stated_window import name_window
from upscale_audit.ingest.windows import PLAIN, Display, follow
from upscale_audit.restore.phantom.design import (
    PhantomParameters,
    assign_conditions,
    draw,
    list_conditions,
    list_image_conditions,
)
from upscale_audit.restore.phantom.drawing import (
    Splitter,
    draw_into,
    measure_drawn,
    measure_response,
)
from upscale_audit.restore.phantom.kinds import BLOCK_PX, list_blocks
from upscale_audit.restore.phantom.sites import find_sites

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from upscale_audit.restore.phantom.design import Condition
    from upscale_audit.restore.phantom.sites import Site
    from upscale_audit.restore.restorers import Restorer


UNITS = "phantoms/units"

_Source = tuple[str, str] | None
"""A restored image's model and inference path; None for the reference."""


class Unit(TypedDict):
    """What a unit's list says."""

    image_id: str
    recipe_sha256: str
    sources: dict[str, str]
    files: dict[str, str]
    left_out: dict[str, str]
    site_count: int
    injections: list[dict[str, Any]]
    injection_blocks: list[dict[str, Any]]


@dataclass(frozen=True)
class ImageTask:
    """One image with its restored ones; travels to a worker process.

    Attributes
    ----------
    image_id : str
    reference : Path
    restored : dict
        File by (model_id, inference path).
    restorers : dict
        `restore.restorers.Restorer` by model_id, of models whose images can be made again.
    boxes : tuple
        Labelled findings: (left, top, width, height) in px.
    lr : tuple or None
        Rule and scale of the LR images, where they are known.
    parameters : PhantomParameters
    folder : Path
        Of the phantom study.
    max_image_px : int
    colour : str
    code_sha256 : str
    display : ingest.windows.Display
        How values of more than 8 bits are shown.
    """

    image_id: str
    reference: Path
    restored: dict[tuple[str, str], Path]
    restorers: dict[str, Restorer]
    boxes: tuple[tuple[int, ...], ...]
    lr: tuple[str, int] | None
    parameters: PhantomParameters
    folder: Path
    max_image_px: int
    colour: str
    code_sha256: str
    display: Display = PLAIN

    @property
    def unit_path(self) -> Path:
        """Where the unit's list lies."""
        name = hashlib.sha256(to_text(self.image_id).encode()).hexdigest()[:16]
        return self.folder / UNITS / f"{name}.json"


def make_image(task: ImageTask) -> tuple[Unit, bool]:
    """Make the copies of one image; runs in a worker process.

    Parameters
    ----------
    task : ImageTask

    Returns
    -------
    unit : Unit
    is_kept : bool
        Whether all was there.

    Raises
    ------
    StudyError
        A restorer gives another size, or other pixels than lie in its folder.
    """
    data, left_out = _read_sources(task)
    sources = {key: hashlib.sha256(item).hexdigest() for key, item in data.items()}
    recipe_sha256 = _hash_recipe(task, sources, left_out)
    kept = read_unit(task.unit_path, task.folder)
    if kept is not None and kept["recipe_sha256"] == recipe_sha256:
        return kept, True
    task.unit_path.unlink(missing_ok=True)
    images = _decode(task, data, left_out)
    maker = _Maker(task, images, sources, left_out)
    if None in images and images.keys() > {None}:
        maker.make()
    unit = Unit(
        image_id=to_text(task.image_id),
        recipe_sha256=recipe_sha256,
        sources={_name_source(key): sha256 for key, sha256 in sources.items()},
        files=maker.files,
        left_out=left_out,
        site_count=len(maker.sites),
        injections=maker.injections,
        injection_blocks=maker.blocks,
    )
    write_text(task.unit_path, json.dumps(unit) + "\n")
    return unit, False


def read_unit(path: Path, folder: Path) -> Unit | None:
    """Read a unit's list; None where there is none, or a file is not as it says."""
    try:
        unit = read_document(path, Unit)
        is_whole = all(hash_file(folder / name) == it for name, it in unit["files"].items())
    except (OSError, ValueError):
        return None
    return unit if is_whole else None


def _read_sources(task: ImageTask) -> tuple[dict[_Source, bytes], dict[str, str]]:
    """Read every file of the image; of those that are refused say why, by their names."""
    data, left_out = {}, {}
    files: list[tuple[_Source, Path]] = [(None, task.reference)]
    for key, path in [*files, *task.restored.items()]:
        try:
            data[key] = read_bytes(path, limit_bytes(task.max_image_px))
        except RejectedFileError as reject:
            left_out[_name_source(key)] = str(reject)
    return data, left_out


def _name_source(key: _Source) -> str:
    return "reference" if key is None else "/".join(key)


def _hash_recipe(
    task: ImageTask, sources: Mapping[_Source, str], left_out: Mapping[str, str]
) -> str:
    """Name what decides a unit's bytes."""
    return hash_json(
        {
            "code": task.code_sha256,
            "parameters": asdict(task.parameters),
            "image_id": to_text(task.image_id),
            "sources": {_name_source(key): sha256 for key, sha256 in sources.items()},
            "left_out": left_out,
            "boxes": task.boxes,
            "lr": task.lr,
            **name_window(task.display.window),
            "restorers": {
                "/".join(key): task.restorers[key[0]].describe(key[1])
                for key in task.restored
                if key[0] in task.restorers
            },
        }
    )


def _decode(
    task: ImageTask, data: Mapping[_Source, bytes], left_out: dict[str, str]
) -> dict[_Source, npt.NDArray[np.uint8]]:
    """Decode to grey, as ingest does; restored images only of the reference's size."""
    images: dict[_Source, npt.NDArray[np.uint8]] = {}
    display = task.display if None in data else follow(task.display)
    for key, item in data.items():
        path = task.reference if key is None else task.restored[key]
        limits = task.max_image_px, task.colour
        try:
            decoded = decode_image(item, path.suffix.lower(), *limits, display)
        except RejectedFileError as reject:
            left_out[_name_source(key)] = str(reject)
            continue
        grey, display = decoded.grey, decoded.display
        if None in images and grey.shape != images[None].shape:
            left_out[_name_source(key)] = "size_mismatch: another size than the reference"
            continue
        images[key] = grey
    scale = task.lr[1] if task.lr else 1
    if None in images and any(side % scale for side in images[None].shape):
        height, width = images.pop(None).shape
        left_out["reference"] = f"{width}x{height} px is no multiple of [lr] scale = {scale}"
    return images


class _Maker:
    """Makes and writes the copies of one image."""

    def __init__(
        self,
        task: ImageTask,
        images: Mapping[_Source, npt.NDArray[np.uint8]],
        sources: Mapping[_Source, str],
        left_out: dict[str, str],
    ) -> None:
        self.task, self.images, self.sources, self.left_out = task, images, sources, left_out
        self.files: dict[str, str] = {}
        self.injections: list[dict[str, Any]] = []
        self.blocks: list[dict[str, Any]] = []
        self.sites: list[Site] = []

    def make(self) -> None:
        task, reference = self.task, self.images[None]
        parameters = task.parameters
        self.sites = find_sites(
            reference,
            to_text(task.image_id),
            parameters.site_count,
            parameters.seed,
            max(parameters.contrasts_dn),
            task.boxes,
        )
        if not self.sites:
            self.left_out["reference"] = "no room for a site"
            return
        self.splitter = None if task.lr is None else Splitter(reference.shape, *task.lr)
        self._list_blocks()
        self._add_sham()
        for version in range(parameters.version_count):
            conditions = assign_conditions(
                list_conditions(parameters, task.lr is not None),
                to_text(task.image_id),
                len(self.sites),
                version,
                parameters.seed,
            )
            if "auditor" in parameters.arms:
                self._add_auditor(version, conditions)
            if {"lost", "through"} & set(parameters.arms):
                self._add_reference_arms(version, conditions)
        if "alone" in parameters.arms:
            self._add_image_arm("alone")
        if "everywhere" in parameters.arms:
            self._add_image_arm("everywhere")

    @property
    def restored(self) -> dict[tuple[str, str], npt.NDArray[np.uint8]]:
        """Restored images that could be read."""
        return {key: grey for key, grey in self.images.items() if key is not None}

    def _list_blocks(self) -> None:
        rows, cols = (side // BLOCK_PX for side in self.images[None].shape)
        for kind in self.task.parameters.kinds:
            for number, site in enumerate(self.sites):
                for row, col in list_blocks(kind, site, rows, cols):
                    place = {"site_number": number, "kind": kind, "block_row": row}
                    source = {"source_image_id": to_text(self.task.image_id)}
                    self.blocks.append(source | place | {"block_col": col})

    def _add_sham(self) -> None:
        """Add the image as it is, whose sites are those where nothing was drawn."""
        self._write(None, None, self.images[None])
        for key, grey in self.restored.items():
            self._write(key, None, grey)
            facts = self._measure(grey, grey, [0] * len(self.sites))
            self._note(key, "sham", None, [None] * len(self.sites), facts, self.sources[key])

    def _add_auditor(self, version: int, conditions: Sequence[Condition]) -> None:
        """Add a copy whose restored images are drawn into."""
        self._write(None, ("auditor", version), self.images[None])
        for key, grey in self.restored.items():
            drawn, clipped = draw_into(grey, self.sites, conditions, self.splitter)
            self._write(key, ("auditor", version), drawn)
            facts = self._measure(grey, drawn, clipped)
            self._note(key, "auditor", version, conditions, facts, self.sources[key])

    def _add_image_arm(self, arm: str) -> None:
        """Add copies whose restored images have one condition each, once or at every site."""
        image_id, count = to_text(self.task.image_id), len(self.sites)
        for copy, condition in enumerate(list_image_conditions(self.task.parameters)):
            chosen = draw(self.task.parameters.seed, arm, image_id, copy) % count
            conditions = [
                condition if arm == "everywhere" or number == chosen else None
                for number in range(count)
            ]
            self._write(None, (arm, copy), self.images[None])
            for key, grey in self.restored.items():
                drawn, clipped = draw_into(grey, self.sites, conditions)
                self._write(key, (arm, copy), drawn)
                facts = self._measure(grey, drawn, clipped)
                self._note(key, arm, copy, conditions, facts, self.sources[key])

    def _add_reference_arms(self, version: int, conditions: Sequence[Condition]) -> None:
        """Add copies whose reference is drawn into: restored images as they are, or made again."""
        reference, arms = self.images[None], self.task.parameters.arms
        drawn, clipped = draw_into(reference, self.sites, conditions, self.splitter)
        facts = self._measure(reference, drawn, clipped)
        if "lost" in arms:
            self._write(None, ("lost", version), drawn)
            for key, grey in self.restored.items():
                self._write(key, ("lost", version), grey)
                self._note(key, "lost", version, conditions, facts, self.sources[None])
        made = [key for key in self.restored if key[0] in self.task.restorers]
        if "through" not in arms or not made:
            return
        self._write(None, ("through", version), drawn)
        for key in made:
            restored = self._restore(key, drawn)
            if version == 0:
                self._check_made_by(key)
            self._write(key, ("through", version), restored)
            responses = measure_response(reference, drawn, self.restored[key], restored, self.sites)
            both = [a | b for a, b in zip(facts, responses, strict=True)]
            self._note(key, "through", version, conditions, both, self.sources[None])

    def _measure(
        self, grey: npt.NDArray[np.uint8], drawn: npt.NDArray[np.uint8], clipped: Sequence[int]
    ) -> list[dict[str, Any]]:
        facts = measure_drawn(grey, drawn, self.sites, self.splitter)
        return [fact | {"clipped_px": count} for fact, count in zip(facts, clipped, strict=True)]

    def _restore(self, key: tuple[str, str], grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        restorer, (model_id, inference_path) = self.task.restorers[key[0]], key
        restored = restorer.restore(grey, inference_path == "tta")
        if restored.ndim == 3:
            raise StudyError(
                f"restorer of {model_id!r} keeps colours of a grey image: set [restore] grey_rule"
                " to rec601 or mean"
            )
        if restored.shape != grey.shape:
            found = "x".join(map(str, restored.shape[::-1]))
            expected = "x".join(map(str, grey.shape[::-1]))
            raise StudyError(
                f"restorer of {model_id!r} makes {found} px of {to_text(self.task.image_id)!r};"
                f" expected {expected}, the reference's: correct its scale, or leave out the arm"
                " through"
            )
        return restored

    def _check_made_by(self, key: tuple[str, str]) -> None:
        """Refuse a folder that its restorer did not fill: what came through would not be its."""
        if (self._restore(key, self.images[None]) != self.restored[key]).any():
            raise StudyError(
                f"{self.task.restored[key]} is not what the restorer of {key[0]!r} makes of"
                f" {to_text(self.task.image_id)!r}: run upscale-audit restore, or leave out the"
                " arm through"
            )

    def _note(
        self,
        key: tuple[str, str],
        arm: str,
        version: int | None,
        conditions: Sequence[Condition | None],
        facts: Sequence[dict[str, Any]],
        source_sha256: str,
    ) -> None:
        """Add a row for each site of a copy at which something was drawn; of a sham for each."""
        for number, (site, condition, fact) in enumerate(
            zip(self.sites, conditions, facts, strict=True)
        ):
            if condition is None and arm != "sham":
                continue
            energy, seen = fact["energy_dn2"], fact["range_dn2"]
            null_ratio = None if seen is None or not energy else 1 - seen / energy
            self.injections.append(
                {
                    "image_id": self._name(None if version is None else (arm, version)),
                    "model_id": key[0],
                    "inference_path": key[1],
                    "site_number": number,
                    "source_image_id": to_text(self.task.image_id),
                    "arm": arm,
                    "kind": condition.kind if condition else "sham",
                    "component": condition.component if condition else "full",
                    "contrast_dn": condition.contrast_dn if condition else 0,
                    "row_px": site.row_px,
                    "col_px": site.col_px,
                    "angle": site.angle,
                    "null_ratio": null_ratio,
                    "source_sha256": source_sha256,
                    **fact,
                }
            )

    def _name(self, copy: tuple[str, int] | None) -> str:
        image_id = to_text(self.task.image_id)
        return image_id if copy is None else f"{image_id}.{copy[0]}{copy[1]}"

    def _write(
        self, key: tuple[str, str] | None, copy: tuple[str, int] | None, grey: npt.NDArray[np.uint8]
    ) -> None:
        folder = "reference" if key is None else f"restored/{key[0]}/{key[1]}"
        name = f"{folder}/{self._name(copy)}.png"
        with replacing(self.task.folder / name) as temporary:
            # Quick to write: these files are made to be read once.
            Image.fromarray(grey).save(temporary, "PNG", compress_level=1)
        self.files[name] = hash_file(self.task.folder / name)
