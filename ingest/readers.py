"""What a study says of readers, networks that score findings: declarations only, nothing is run.

`reading` runs them. Ingest reads none of this, so a reader never changes a measurement.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from upscale_audit.ingest.errors import StudyError, require_value
from upscale_audit.ingest.files import canonical_json

READER_KEYS = (
    "reader", "file", "format", "sha256", "input_px", "intensity", "findings", "score",
)  # fmt: skip
FORMATS = ("onnx", "torchscript", "torchxrayvision", "chestxray8")
SELF_DESCRIBED = ("chestxray8",)
"""Formats whose files say themselves what else a study has to say."""
SELF_DESCRIBED_KEYS = ("input_px", "intensity", "findings", "score")
SCORES = ("probability", "logit")
INPUT_PX_RANGE = (8, 4096)
MAX_FINDINGS = 1000

_FORMATS_BY_SUFFIX = {
    ".onnx": "onnx",
    ".torchscript": "torchscript",
    ".ts": "torchscript",
    ".safetensors": "chestxray8",
}
_SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")
_EXPECTED_INTENSITY = (
    '"unit" (0..1), "xrv" (-1024..1024), "imagenet" (three planes), or { mean = 0.5, std = 0.25 }'
    " of levels in 0..1, a number each, or a list of three"
)


@dataclass(frozen=True)
class Intensity:
    """How grey levels are scaled for a network: (level / 255 - mean) / std, a plane for each mean.

    Attributes
    ----------
    name : str
        As the study states it; canonical JSON where it gives numbers.
    mean, std : tuple of float
        One of each, or three.
    """

    name: str
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


INTENSITIES = {
    "unit": Intensity("unit"),
    # torchxrayvision's (2 level / 255 - 1) 1024.
    "xrv": Intensity("xrv", (0.5,), (1 / 2048,)),
    # Of ImageNet's colours, as torchvision states them.
    "imagenet": Intensity("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@dataclass(frozen=True)
class ReaderDeclaration:
    """A network that scores findings, as a study names it.

    Attributes
    ----------
    reader : str
        Its name.
    file : Path
        Its weights.
    format : {"onnx", "torchscript", "torchxrayvision", "chestxray8"}
    sha256 : str or None
        What the file's must be.
    input_px : int or None
        Side of the square that it is given.
    intensity : Intensity or None
    findings : tuple of str
        In the order of its outputs; an empty text passes over one.
    score : {"probability", "logit"} or None
        What its outputs are.

    Notes
    -----
    What is None, or empty, is what the file of a self-described format says.
    """

    reader: str
    file: Path
    format: str
    sha256: str | None = None
    input_px: int | None = None
    intensity: Intensity | None = None
    findings: tuple[str, ...] = ()
    score: str | None = None

    def __post_init__(self) -> None:
        require_value(self.format in FORMATS, "format", self.format, FORMATS)
        if self.sha256 is not None:
            is_hash = isinstance(self.sha256, str) and _SHA256_PATTERN.fullmatch(self.sha256)
            expected = "64 lower-case hexadecimal digits"
            require_value(is_hash, "sha256", self.sha256, expected)
        if self.input_px is not None:
            least, most = INPUT_PX_RANGE
            is_side = type(self.input_px) is int and least <= self.input_px <= most
            require_value(is_side, "input_px", self.input_px, f"a whole number, {least} to {most}")
        require_value(self.score in (None, *SCORES), "score", self.score, " or ".join(SCORES))


def list_required_keys(weights_format: str) -> tuple[str, ...]:
    """List the keys that a study has to state of a reader of a format."""
    described = () if weights_format in SELF_DESCRIBED else SELF_DESCRIBED_KEYS
    return ("reader", "file", *described)


def make_declaration(given: Mapping[str, Any], file: Path) -> ReaderDeclaration:
    """Make a reader's declaration of the values that a study file gives.

    Parameters
    ----------
    given : dict
        Values by key, of `READER_KEYS`.
    file : Path
        The weights.

    Returns
    -------
    ReaderDeclaration

    Raises
    ------
    StudyError
        A value is not as expected; the message names key, value and what is.
    """
    return ReaderDeclaration(
        reader=given["reader"],
        file=file,
        format=given.get("format", find_format(file)),
        sha256=given.get("sha256"),
        input_px=given.get("input_px"),
        intensity=parse_intensity(given["intensity"]) if "intensity" in given else None,
        findings=parse_findings(given["findings"]) if "findings" in given else (),
        score=given.get("score"),
    )


def find_format(file: Path) -> str:
    """Find the format of a file of weights, by its suffix or, of PyTorch's, by what lies in it."""
    found = _FORMATS_BY_SUFFIX.get(file.suffix.lower())
    if found is not None:
        return found
    return "torchscript" if is_torchscript(file) else "torchxrayvision"


def is_torchscript(file: Path | IO[bytes]) -> bool:
    """Whether a file, or an open one, is a TorchScript archive: a zip that holds constants."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def parse_intensity(value: object) -> Intensity:
    """Read how grey levels are scaled; see `Intensity`.

    Raises
    ------
    StudyError
    """
    if isinstance(value, str) and value in INTENSITIES:
        return INTENSITIES[value]
    if isinstance(value, dict) and value.keys() == {"mean", "std"}:
        mean, std = (_list_numbers(value[key]) for key in ("mean", "std"))
        if mean and std and len(mean) == len(std) and min(std) > 0:
            return Intensity(canonical_json({"mean": mean, "std": std}), mean, std)
    raise StudyError(f"intensity = {value!r}; expected {_EXPECTED_INTENSITY}")


def _list_numbers(value: Any) -> tuple[float, ...]:
    """Give a number, or three, as floats; nothing where it is neither."""
    numbers = value if isinstance(value, list) else [value]
    if len(numbers) not in (1, 3) or not all(type(item) in (int, float) for item in numbers):
        return ()
    return tuple(map(float, numbers)) if all(abs(item) < 1e6 for item in numbers) else ()


def parse_findings(value: object) -> tuple[str, ...]:
    """Read the findings of a reader's outputs.

    Raises
    ------
    StudyError
        It is no list of texts, names nothing, or names a finding twice.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise StudyError(
            f"findings = {value!r}; expected a list of names in the order of the outputs, as"
            ' ["Atelectasis", "", "Mass"], "" for an output to pass over'
        )
    named = [name for name in value if name]
    if not named or len(value) > MAX_FINDINGS:
        found = "names none" if not named else f"has {len(value)}"
        raise StudyError(f"findings {found}; expected 1 to {MAX_FINDINGS} outputs, one named")
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise StudyError(
            f'findings name {twice[0]!r} twice; give each output a name of its own, or ""'
        )
    blank = [name for name in named if name != name.strip()]
    if blank:
        raise StudyError(f"findings name {blank[0]!r}; remove the space around it")
    return tuple(value)
