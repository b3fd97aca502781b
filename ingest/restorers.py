"""What a study says of how its restored images are made: declarations only, nothing is run.

`restore` makes the images. Ingest reads none of this, so a declaration never changes a measurement.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from upscale_audit.ingest.errors import require_value

LR_RULES = ("opencv_cubic", "antialiased")
LR_SCALES = (2, 3, 4)
"""Scales at which a rule is known as algebra, `ingest.lr_rules`, and outputs can be judged."""
GREY_RULES = ("rec601", "mean", "keep")
DEVICE_PATTERN = re.compile(r"cpu|cuda(:\d+)?")
_SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RestoreParameters:
    """How every restorer of a study gets its input and gives its output.

    Attributes
    ----------
    lr_rule : {"opencv_cubic", "antialiased"}
        How the LR image is made of the reference: OpenCV's cubic, which aliases, as the published
        generator does; or Pillow's bicubic, whose kernel widens with the scale.
    scale : int
        Sides of the reference over sides of the LR image.
    grey_rule : {"rec601", "mean", "keep"}
        How three restored channels become one, where the reference is grey or a network made them
        differ: Pillow's ``convert("L")``, their mean, or not at all (ingest then reduces them).
    """

    lr_rule: str = "opencv_cubic"
    scale: int = 2
    grey_rule: str = "rec601"

    def __post_init__(self) -> None:
        require_value(self.lr_rule in LR_RULES, "lr_rule", self.lr_rule, " or ".join(LR_RULES))
        require_value(1 <= self.scale <= 8, "scale", self.scale, "1..8")
        require_value(
            self.grey_rule in GREY_RULES, "grey_rule", self.grey_rule, ", ".join(GREY_RULES)
        )


@dataclass(frozen=True)
class Interpolation:
    """Pillow's bicubic or Lanczos, from the LR image to the reference's size."""

    KINDS: ClassVar = ("bicubic", "lanczos")

    kind: str


@dataclass(frozen=True)
class Blur:
    """A control: the reference under a Gaussian of `sigma_px`."""

    KINDS: ClassVar = ("blur",)

    kind: str
    sigma_px: float = 1.0

    def __post_init__(self) -> None:
        require_value(0 < self.sigma_px <= 100, "sigma_px", self.sigma_px, "0 < sigma_px <= 100")


@dataclass(frozen=True)
class Unsharp:
    """A control: the reference plus `amount` times its difference from its blurred self."""

    KINDS: ClassVar = ("unsharp",)

    kind: str
    sigma_px: float = 1.0
    amount: float = 1.0

    def __post_init__(self) -> None:
        require_value(0 < self.sigma_px <= 100, "sigma_px", self.sigma_px, "0 < sigma_px <= 100")
        require_value(0 < self.amount <= 100, "amount", self.amount, "0 < amount <= 100")


@dataclass(frozen=True)
class Noise:
    """A control: the reference plus Gaussian noise of standard deviation `sigma_dn`."""

    KINDS: ClassVar = ("noise",)

    kind: str
    sigma_dn: float = 4.0
    seed: str = "upscale-audit"

    def __post_init__(self) -> None:
        require_value(0 < self.sigma_dn <= 255, "sigma_dn", self.sigma_dn, "0 < sigma_dn <= 255")


@dataclass(frozen=True)
class Jpeg:
    """A control: the reference as JPEG of `quality`, decoded again."""

    KINDS: ClassVar = ("jpeg",)

    kind: str
    quality: int = 50

    def __post_init__(self) -> None:
        require_value(1 <= self.quality <= 100, "quality", self.quality, "1..100")


@dataclass(frozen=True)
class Frame:
    """A control: the reference, blurred in a frame of `width_px` and nowhere else."""

    KINDS: ClassVar = ("frame",)

    kind: str
    width_px: int = 16
    sigma_px: float = 2.0

    def __post_init__(self) -> None:
        require_value(self.width_px > 0, "width_px", self.width_px, "1 or more")
        require_value(0 < self.sigma_px <= 100, "sigma_px", self.sigma_px, "0 < sigma_px <= 100")


@dataclass(frozen=True)
class NcnnWeights:
    """A network in ncnn's format.

    Attributes
    ----------
    weights : str or None
        A name that `restore.weights` knows, with its expected hash; None where `param` and `bin`
        are of the user's own.
    param, bin : Path or None
        The network's two files, where no package holds them.
    native_scale : int or None
        Sides of the network's output over its input; known for known weights.
    sha256 : str or None
        Expected SHA-256 of the ``.bin``.
    tile_px, prepad_px : int
        Side of a tile, and what it sees beyond itself, in LR pixels; Upscayl's by default.
    device : str
        ``cpu``, where ncnn runs the network; or ``cuda`` or ``cuda:N``, where PyTorch does.
    """

    KINDS: ClassVar = ("ncnn",)

    kind: str
    weights: str | None = None
    param: Path | None = None
    bin: Path | None = None
    native_scale: int | None = None
    sha256: str | None = None
    tile_px: int = 200
    prepad_px: int = 10
    device: str = "cpu"

    def __post_init__(self) -> None:
        _check_network(self)
        has_files = self.param is not None
        require_value(
            has_files == (self.bin is not None), "param", self.param, "param and bin together"
        )
        if self.weights is None:
            require_value(has_files, "weights", None, "the name of known weights, or param and bin")
            require_value(
                self.native_scale is not None, "native_scale", None, "the network's scale"
            )
        if self.native_scale is not None:
            require_value(1 <= self.native_scale <= 16, "native_scale", self.native_scale, "1..16")


@dataclass(frozen=True)
class SpandrelWeights:
    """A PyTorch network that spandrel recognises by its weights.

    Attributes
    ----------
    file : Path or None
        The weights: ``.pth`` or ``.safetensors``; None where `weights` names some.
    sha256 : str or None
        Expected SHA-256 of the file.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.
    tile_px, prepad_px : int
        Side of a tile, and what it sees beyond itself, in LR pixels; Upscayl's by default.
    weights : str or None
        A name of weights that this project ships (`restore.weights`).
    """

    KINDS: ClassVar = ("spandrel",)

    kind: str
    file: Path | None = None
    sha256: str | None = None
    device: str = "cpu"
    tile_px: int = 200
    prepad_px: int = 10
    weights: str | None = None

    def __post_init__(self) -> None:
        _check_network(self)
        is_one = (self.weights is None) != (self.file is None)
        require_value(is_one, "file", self.file, "a file, or weights by a name, one of them")


def _check_network(declared: NcnnWeights | SpandrelWeights) -> None:
    require_value(declared.tile_px >= 16, "tile_px", declared.tile_px, "16 or more")
    expected = "0 <= prepad_px < tile_px"
    require_value(
        0 <= declared.prepad_px < declared.tile_px, "prepad_px", declared.prepad_px, expected
    )
    is_device = DEVICE_PATTERN.fullmatch(declared.device)
    require_value(is_device, "device", declared.device, "cpu, cuda or cuda:N")
    if declared.sha256 is not None:
        is_hash = _SHA256_PATTERN.fullmatch(declared.sha256)
        require_value(is_hash, "sha256", declared.sha256, "64 lower-case hexadecimal digits")


@dataclass(frozen=True)
class Repair:
    """Another model's images, changed as little as their LR images demand; ``repair = true``.

    Attributes
    ----------
    of : str
        The other model.
    """

    of: str
    kind: str = "repair"


CONTROLS = (Blur, Unsharp, Noise, Jpeg, Frame)
"""Restorers whose damage is known: no model under test."""

Declaration = Interpolation | Blur | Unsharp | Noise | Jpeg | Frame | NcnnWeights | SpandrelWeights

DECLARATIONS: dict[str, type[Declaration]] = {
    kind: declaration
    for declaration in (Interpolation, *CONTROLS, NcnnWeights, SpandrelWeights)
    for kind in declaration.KINDS
}
"""What each `kind` of restorer in a study file is parsed into."""
