"""ChestX-ray8's network: a residual trunk, a transition, a global pooling, a prediction layer."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from upscale_audit.ingest.errors import StudyError, require_value

POOLINGS = ("lse", "max", "average")
MEAN, DEVIATION = 0.449, 0.226
"""Of levels in 0..1: the means over ImageNet's three channels of theirs, for the one plane."""
TRUNKS: dict[int, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Layers of the trunk, and its blocks a stage (He et al. 2016, table 1)."""
STRIDE_PX = 32
"""Pixels along a side for each position of a map."""
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class NetworkDesign:
    """What decides a network's shape.

    Attributes
    ----------
    trunk : {18, 34, 50}
        Layers of the residual trunk.
    pooling : {"lse", "max", "average"}
    r : float
        Of the log-sum-exp pooling: 0 tends to the average, infinity to the maximum; above 0.
    findings : int
        Outputs.
    width : int
        Maps of the trunk's first layer; 64 as published.
    """

    trunk: int
    pooling: str
    r: float
    findings: int
    width: int = 64

    def __post_init__(self) -> None:
        expected = tuple(map(str, TRUNKS))
        require_value(self.trunk in TRUNKS, "trunk", self.trunk, expected)
        require_value(self.pooling in POOLINGS, "pooling", self.pooling, POOLINGS)
        is_ratio = 0 < self.r < math.inf
        require_value(is_ratio, "r", self.r, "a number above 0, for pooling 'lse' 10 as published")
        require_value(0 < self.findings <= 1000, "findings", self.findings, "1..1000 outputs")
        require_value(1 <= self.width <= 1024, "width", self.width, "1..1024 maps")


class ChestXray8Network(nn.Module):
    """The network of Wang et al. 2017, section 3.

    Parameters
    ----------
    design : NetworkDesign

    Notes
    -----
    The trunk is a residual network without its pooling and classifier, its names and shapes those
    of torchvision, but for one plane in. The transition is a convolution 1x1 that keeps the number
    of maps, and a rectifier: the paper states neither its kernel nor its rectifier. The pooling
    makes one number of each map, the prediction layer one logit a finding of these.

    References
    ----------
    Wang, X., Peng, Y., Lu, L., Lu, Z., Bagheri, M. & Summers, R. M. (2017). ChestX-ray8: hospital-
    scale chest X-ray database and benchmarks on weakly-supervised classification and localization
    of common thorax diseases. CVPR, 2097-2106, doi:10.1109/CVPR.2017.369.
    He, K., Zhang, X., Ren, S. & Sun, J. (2016). Deep residual learning for image recognition.
    CVPR, 770-778, doi:10.1109/CVPR.2016.90.
    """

    def __init__(self, design: NetworkDesign) -> None:
        super().__init__()
        self.design = design
        self.trunk = ResidualTrunk(design.trunk, design.width)
        self.transition = nn.Conv2d(self.trunk.maps, self.trunk.maps, 1)
        self.prediction = nn.Linear(self.trunk.maps, design.findings)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.transition.bias)
        nn.init.normal_(self.prediction.weight, std=0.01)
        nn.init.zeros_(self.prediction.bias)

    def find_maps(self, levels: torch.Tensor) -> torch.Tensor:
        """Compute the transition's maps.

        Parameters
        ----------
        levels : (B, M, N) tensor
            Grey levels, 0..255.

        Returns
        -------
        (B, D, M / 32, N / 32) tensor
            At least 0.
        """
        planes = ((levels / 255 - MEAN) / DEVIATION)[:, None]
        maps: torch.Tensor = functional.relu(self.transition(self.trunk(planes)))
        return maps

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        """Compute logits.

        Parameters
        ----------
        levels : (B, M, N) tensor
            Grey levels, 0..255.

        Returns
        -------
        (B, C) tensor
            One a finding.
        """
        return self.predict(self.find_maps(levels))

    def predict(self, maps: torch.Tensor) -> torch.Tensor:
        """Compute logits (B, C) of the transition's maps."""
        pooled = pool_maps(maps, self.design.pooling, r=self.design.r)
        logits: torch.Tensor = self.prediction(pooled)
        return logits

    def activate(self, maps: torch.Tensor) -> torch.Tensor:
        """Compute class activation maps (B, C, h, w): the prediction's weights on its maps."""
        return torch.einsum("cd,bdhw->bchw", self.prediction.weight, maps)


class ResidualTrunk(nn.Module):
    """A residual network up to its last maps, of one plane.

    Parameters
    ----------
    layers : {18, 34, 50}
    width : int
        Maps of the first layer; 64 as published.

    Notes
    -----
    In the bottleneck of 50 layers the stride is on the 3x3 convolution, as torchvision has it.
    """

    def __init__(self, layers: int, width: int = 64) -> None:
        super().__init__()
        block: type[_Block] = BottleneckBlock if layers >= 50 else BasicBlock
        self.conv1 = nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maps = width
        for stage, count in enumerate(TRUNKS[layers]):
            inner = width * 2**stage
            blocks = []
            for number in range(count):
                stride = 2 if stage and not number else 1
                blocks.append(block(self.maps, inner, stride))
                self.maps = inner * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Compute maps (B, D, M / 32, N / 32) of planes (B, 1, M, N)."""
        values = functional.relu(self.bn1(self.conv1(planes)))
        values = functional.max_pool2d(values, 3, stride=2, padding=1)
        for stage in range(4):
            values = getattr(self, f"layer{stage + 1}")(values)
        return values


class _Block(nn.Module, abc.ABC):
    """A residual block: what the convolutions make is added to what came in."""

    expansion = 1

    def __init__(self, maps: int, inner: int, stride: int) -> None:
        super().__init__()
        outer = inner * self.expansion
        self.downsample = None
        if stride != 1 or maps != outer:
            self.downsample = nn.Sequential(
                nn.Conv2d(maps, outer, 1, stride=stride, bias=False), nn.BatchNorm2d(outer)
            )

    @abc.abstractmethod
    def convolve(self, values: torch.Tensor) -> torch.Tensor:
        """Apply the convolutions."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Add what the convolutions make."""
        shortcut = values if self.downsample is None else self.downsample(values)
        return functional.relu(self.convolve(values) + shortcut)


class BasicBlock(_Block):
    """Two 3x3 convolutions, of 18 and 34 layers."""

    def __init__(self, maps: int, inner: int, stride: int) -> None:
        super().__init__(maps, inner, stride)
        self.conv1 = nn.Conv2d(maps, inner, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)

    def convolve(self, values: torch.Tensor) -> torch.Tensor:
        """Apply the convolutions."""
        values = functional.relu(self.bn1(self.conv1(values)))
        made: torch.Tensor = self.bn2(self.conv2(values))
        return made


class BottleneckBlock(_Block):
    """A 3x3 convolution between two 1x1, of 50 layers."""

    expansion = 4

    def __init__(self, maps: int, inner: int, stride: int) -> None:
        super().__init__(maps, inner, stride)
        self.conv1 = nn.Conv2d(maps, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, inner * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(inner * self.expansion)

    def convolve(self, values: torch.Tensor) -> torch.Tensor:
        """Apply the convolutions."""
        values = functional.relu(self.bn1(self.conv1(values)))
        values = functional.relu(self.bn2(self.conv2(values)))
        made: torch.Tensor = self.bn3(self.conv3(values))
        return made


def pool_maps(maps: torch.Tensor, pooling: str, *, r: float) -> torch.Tensor:
    """Make one number of each map.

    Parameters
    ----------
    maps : (B, D, h, w) tensor
    pooling : {"lse", "max", "average"}
    r : float
        Of "lse"; above 0.

    Returns
    -------
    (B, D) tensor

    Notes
    -----
    Log-sum-exp (Wang et al. 2017, section 3): x* + 1/r log(1/S sum_ij exp(r (x_ij - x*))), S = h w.
    There x* is the largest |x_ij|, here the largest x_ij: the value is the same, and no term
    overflows whatever the sign. Where r is so small that float32 cannot hold its exponents apart,
    use "average", its limit.
    """
    flat = maps.flatten(2)
    if pooling == "average":
        return flat.mean(dim=2)
    largest = flat.amax(dim=2)
    if pooling == "max":
        return largest
    exponents = r * (flat - largest[..., None])
    return largest + (torch.logsumexp(exponents, dim=2) - math.log(flat.shape[2])) / r


def weigh_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in which positives and negatives weigh alike.

    Parameters
    ----------
    logits : (B, C) tensor
    labels : (B, C) tensor
        0 or 1.

    Returns
    -------
    () tensor
        W-CEL of Wang et al. 2017, section 3, over the |P| + |N| labels of the batch: the mean of
        -ln f over its positives and that of -ln(1 - f) over its negatives, added.

    Notes
    -----
    L = beta_P sum_{y=1} -ln f(x) + beta_N sum_{y=0} -ln(1 - f(x)), beta_P = (|P| + |N|) / |P|,
    beta_N = (|P| + |N|) / |N|, |P| and |N| being the ones and zeros of all findings of the batch,
    as in the paper. Deviation: L / (|P| + |N|), so that a loss and its learning rate do not depend
    on the batch's size. Without a positive its sum is empty and 0, likewise without a negative.
    """
    positives = labels.sum()
    negatives = labels.numel() - positives
    on = (functional.softplus(-logits) * labels).sum() / positives.clamp(min=1)
    off = (functional.softplus(logits) * (1 - labels)).sum() / negatives.clamp(min=1)
    return on + off


def fill_trunk(trunk: ResidualTrunk, state: Mapping[str, Any], source: str) -> None:
    """Load a trunk from torchvision's state dict of the residual network of as many layers.

    Parameters
    ----------
    trunk : ResidualTrunk
    state : dict of str to tensor
        Its classifier (``fc``) is left out; ``conv1`` of three planes is summed over them, which
        for equal planes gives the same.
    source : str
        The file, for errors.

    Raises
    ------
    StudyError
        A tensor is missing, too many, of another shape or not finite.
    """
    given = {name: value for name, value in state.items() if not name.startswith("fc.")}
    first = given.get("conv1.weight")
    if isinstance(first, torch.Tensor) and first.ndim == 4 and first.shape[1] == 3:
        given["conv1.weight"] = first.sum(dim=1, keepdim=True)
    load_tensors(trunk, given, source, "name the file of a network of as many layers")


def load_tensors(module: nn.Module, state: Mapping[str, Any], source: str, repair: str) -> None:
    """Load a module's tensors, in its own type of number.

    Parameters
    ----------
    module : torch.nn.Module
    state : dict of str to tensor
        Of all its tensors and no others; counters of batches may be left out.
    source, repair : str
        For errors: where they come from, what to do.

    Raises
    ------
    StudyError
        A tensor is missing, too many, of another shape or not finite.
    """
    own = module.state_dict()
    for name, wanted in own.items():
        found, shape = state.get(name), tuple(wanted.shape)
        if found is None and name.endswith(_COUNTER):
            continue
        seen = "nothing"
        if isinstance(found, torch.Tensor):
            seen = f"the shape {tuple(found.shape)}"
            if tuple(found.shape) == shape:
                seen = "" if bool(found.isfinite().all()) else "values that are not finite"
        if seen:
            raise StudyError(f"{source}: expected {name} of shape {shape}, found {seen}; {repair}")
    extra = next((name for name in state if name not in own), None)
    if extra is not None:
        raise StudyError(f"{source}: {extra} is no tensor of this network; {repair}")
    module.load_state_dict(own | {name: state[name] for name in own if name in state})
