"""What a reader is to this project, and how one is loaded: a registry by the format of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from upscale_audit.ingest.documents import read_bounded
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.readers import (
    SELF_DESCRIBED_KEYS,
    Intensity,
    ReaderDeclaration,
    parse_findings,
    parse_intensity,
)
from upscale_audit.reading.preparing import scale_planes

if TYPE_CHECKING:
    import numpy.typing as npt


MAX_WEIGHTS_BYTES = 1 << 31
"""Largest file of weights that is read: 2 GiB."""
SLACK = 1e-6
"""How far beyond 0..1 float32 may round a probability."""


class Reader(Protocol):
    """A network that scores findings, ready to read.

    Attributes
    ----------
    findings : tuple of str
        In the order of its scores.
    input_px : int
        Side of the square that it is given.
    has_maps : bool
        Whether it gives class activation maps.
    library : str
        What runs it, with its version.
    """

    @property
    def findings(self) -> tuple[str, ...]: ...  # noqa: D102  # an attribute, described above
    @property
    def input_px(self) -> int: ...  # noqa: D102
    @property
    def has_maps(self) -> bool: ...  # noqa: D102
    @property
    def library(self) -> str: ...  # noqa: D102

    def read(
        self, images: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]:
        """Read images.

        Parameters
        ----------
        images : (n, input_px, input_px) float32 array, dn
            0..255.

        Returns
        -------
        scores : (n, findings) float64 array
            Finite; higher is likelier.
        maps : (n, findings, h, w) float32 array or None
        """
        ...


@dataclass(frozen=True)
class Weights:
    """A reader's file as it was read and hashed, and where it is to run.

    Attributes
    ----------
    declared : ingest.readers.ReaderDeclaration
        Complete.
    data : bytes
        The file's: what runs is what was hashed.
    device : str
        ``cpu`` or ``cuda``.
    """

    declared: ReaderDeclaration
    data: bytes
    device: str

    @property
    def intensity(self) -> Intensity:
        """How grey levels are scaled."""
        if self.declared.intensity is None:
            raise TypeError(f"{self.declared.reader!r} is not complete")
        return self.declared.intensity


Call = Callable[["npt.NDArray[np.float32]"], "tuple[npt.NDArray[Any], npt.NDArray[Any] | None]"]
"""A network: (n, planes, h, w) float32 to scores (n, outputs) and maps (n, outputs, h', w')."""


class NetworkReader:
    """A reader of any network that takes planes: scales what it is given, checks what it gives.

    Parameters
    ----------
    weights : Weights
    library : str
    call : callable
        As `Call`.

    Raises
    ------
    StudyError
        It does not take an image of `input_px`, or gives other than a score for each finding.
    """

    def __init__(self, weights: Weights, library: str, call: Call) -> None:
        declared = weights.declared
        self.findings = tuple(name for name in declared.findings if name)
        self.input_px = declared.input_px or 0
        self.library = library
        self._declared, self._intensity, self._call = declared, weights.intensity, call
        self._kept = [number for number, name in enumerate(declared.findings) if name]
        # A ramp: a network that divides by an image's own deviation gives numbers for it.
        ramp = np.linspace(0, 255, self.input_px**2, dtype=np.float32)
        _, maps = self._apply(ramp.reshape(1, self.input_px, self.input_px))
        self.has_maps = maps is not None

    def read(
        self, images: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]:
        """Read images; see `Reader.read`.

        Raises
        ------
        StudyError
            A score or a map is not finite, or a probability is none.
        """
        scores, maps = self._apply(images)
        if not np.isfinite(scores).all():
            self._refuse("gives a score that is not finite", "a number for each finding")
        if self._declared.score == "probability":
            beyond = scores[(scores < -SLACK) | (scores > 1 + SLACK)]
            if beyond.size:
                self._refuse(
                    f"gives the score {beyond[0]:g}", "a probability, 0 to 1: state score = 'logit'"
                )
        if maps is not None and not np.isfinite(maps).all():
            self._refuse("gives a map that is not finite", "numbers")
        return scores, maps

    def _apply(
        self, images: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]:
        """Call the network, and keep the outputs that have a name."""
        count = len(self._declared.findings)
        scores, maps = self._call(scale_planes(images, self._intensity))
        if scores.shape != (len(images), count):
            self._refuse(
                f"gives scores of the shape {scores.shape} for {len(images)} image(s)",
                f"{(len(images), count)}: findings names {count} outputs",
            )
        kept = np.ascontiguousarray(scores[:, self._kept], np.float64)
        if maps is None:
            return kept, None
        if maps.ndim != 4 or maps.shape[:2] != scores.shape or 0 in maps.shape:
            self._refuse(
                f"gives maps of the shape {maps.shape}", f"({len(images)}, {count}, rows, columns)"
            )
        return kept, np.ascontiguousarray(maps[:, self._kept], np.float32)

    def _refuse(self, found: str, expected: str) -> None:
        declared = self._declared
        raise StudyError(
            f"reader {declared.reader!r} ({declared.file}) {found}; expected {expected}; correct"
            " [[readers]], or name another file"
        )


def _load_onnx(weights: Weights) -> Reader:
    from upscale_audit.reading.onnx_network import load_onnx

    return load_onnx(weights)


def _load_torchscript(weights: Weights) -> Reader:
    from upscale_audit.reading.torchscript import load_torchscript

    return load_torchscript(weights)


def _load_densenet(weights: Weights) -> Reader:
    from upscale_audit.reading.densenet import load_densenet

    return load_densenet(weights)


def _load_chestxray8(weights: Weights) -> Reader:
    from upscale_audit.reading import chestxray8

    return chestxray8.load_reader(weights.declared.file, weights.device, weights.data)


def _describe_chestxray8(path: Path) -> Mapping[str, Any]:
    from upscale_audit.reading import chestxray8

    return chestxray8.read_metadata(path)


LOADERS: dict[str, Callable[[Weights], Reader]] = {
    "onnx": _load_onnx,
    "torchscript": _load_torchscript,
    "torchxrayvision": _load_densenet,
    "chestxray8": _load_chestxray8,
}
"""How a file of weights becomes a reader, by its format."""

DESCRIBERS: dict[str, Callable[[Path], Mapping[str, Any]]] = {"chestxray8": _describe_chestxray8}
"""What a file says itself, by the formats of `ingest.readers.SELF_DESCRIBED`: its keys and values
as a study would state them."""


def complete_declaration(declared: ReaderDeclaration) -> ReaderDeclaration:
    """Fill in what a study leaves to the reader's file.

    Parameters
    ----------
    declared : ingest.readers.ReaderDeclaration

    Returns
    -------
    ReaderDeclaration
        Without None but in `sha256`.

    Raises
    ------
    StudyError
        The file says otherwise than the study, or says nothing that can be read.
    """
    describe = DESCRIBERS.get(declared.format)
    if describe is None:
        return declared
    said = describe(declared.file)
    found = {
        "input_px": said["input_px"],
        "intensity": parse_intensity(said["intensity"]),
        "findings": parse_findings(said["findings"]),
        "score": said["score"],
    }
    for key in SELF_DESCRIBED_KEYS:
        stated = getattr(declared, key)
        if stated and stated != found[key]:
            raise StudyError(
                f"[[readers]] {declared.reader!r}: {key} = {stated!r}, but {declared.file} says"
                f" {found[key]!r}; take {key} out of the study file"
            )
    return replace(declared, **found)


def load_reader(declared: ReaderDeclaration, device: str, sha256: str | None = None) -> Reader:
    """Load a reader.

    Parameters
    ----------
    declared : ingest.readers.ReaderDeclaration
        Complete.
    device : {"cpu", "cuda"}
    sha256 : str, optional
        What the file's was when it was described; by default what the study states, if anything.

    Returns
    -------
    Reader

    Raises
    ------
    StudyError
        The file is another, is no such network, or a package or the device is missing.
    """
    load = LOADERS.get(declared.format)
    if load is None:
        raise StudyError(
            f"no reader of the format {declared.format!r} is known here; expected one of"
            f" {', '.join(LOADERS)}: name another file as {declared.reader!r} in [[readers]]"
        )
    try:
        data = read_bounded(declared.file, MAX_WEIGHTS_BYTES)
    except (OSError, ValueError) as error:
        raise StudyError(
            f"cannot read {declared.file}: {error}; make it readable, or name another file as"
            f" {declared.reader!r} in [[readers]]"
        ) from None
    _check_hash(declared, hashlib.sha256(data).hexdigest(), sha256)
    try:
        return load(Weights(declared, data, device))
    except ModuleNotFoundError as error:
        raise StudyError(
            f"reader {declared.reader!r} needs {error.name}, which is not installed:"
            " pip install 'upscale-audit[readers]'"
        ) from None


def hash_weights(declared: ReaderDeclaration) -> str:
    """Hash a reader's file, and hold it against what the study states.

    Raises
    ------
    StudyError
        It cannot be read, or is another.
    """
    try:
        found = hash_file(declared.file)
    except OSError as error:
        raise StudyError(
            f"cannot read {declared.file}: {error.strerror}; make it readable, or name another file"
            f" as {declared.reader!r} in [[readers]]"
        ) from None
    _check_hash(declared, found, None)
    return found


def _check_hash(declared: ReaderDeclaration, found: str, recorded: str | None) -> None:
    if declared.sha256 not in (None, found):
        raise StudyError(
            f"{declared.file} has the SHA-256 {found}; expected {declared.sha256}, as [[readers]]"
            f" {declared.reader!r} states: bring that file, or correct sha256"
        )
    if recorded not in (None, found):
        raise StudyError(f"{declared.file} changed while it was used; run upscale-audit read again")
