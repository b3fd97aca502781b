"""Networks in ncnn's format, run by PyTorch: the same weights, on a GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.ncnn_graph import (
    ACTIVATIONS,
    BINARY_OPERATIONS,
    ELTWISE,
    INTERPOLATIONS,
    Layer,
    read_graph,
)
from upscale_audit.restore.torch_device import (
    Device,
    DeviceNetwork,
    average_over_variants,
    import_torch,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch


_TRIAL_PX = 32


class NcnnTorchNetwork(DeviceNetwork):
    """A network in ncnn's format, run by PyTorch in float32.

    Parameters
    ----------
    param, weights : str or Path
        The ``.param`` text and its ``.bin``.
    scale : int
        Sides of the output over sides of the input; ncnn's files do not state it.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    StudyError
        PyTorch is not installed, the files are no network that `restore.ncnn_graph` knows, the
        device is not there, or a first run on grey gives another scale or no finite values.

    Notes
    -----
    What ncnn computes, operation by operation; sums are taken in another order, so that results
    differ in their last bits. Bicubic interpolation has a = -0.75 in both.
    """

    def __init__(
        self, param: str | Path, weights: str | Path, scale: int, device: str = "cuda"
    ) -> None:
        self._torch = import_torch()
        graph = read_graph(Path(param), Path(weights))
        self._graph, self.scale, self._name = graph, scale, Path(param).name
        self._device = Device(self._torch, device)
        self._steps: list[Callable[..., torch.Tensor]] = []
        self._device.place(self._build)
        self._uses = Counter(blob for layer in graph.layers for blob in layer.bottoms)
        trial = self.forward(np.full((3, _TRIAL_PX, _TRIAL_PX), 0.5, np.float32))
        if not np.isfinite(trial).all():
            raise StudyError(
                f"{param} and {weights} turn grey into values that are not finite; name the .param"
                " and .bin that belong together"
            )

    def forward_batch(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run the network over several inputs; see `restore.networks.BatchNetwork`.

        Raises
        ------
        StudyError
            The network refuses the planes, returns another number or size of planes, or memory
            ran out.
        """
        return self._run_checked(self._run, batch)

    def average_batch(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Average each result over its variants; raises what `forward_batch` does."""
        return self._run_checked(average_over_variants(self._run), batch)

    def _run_checked(
        self, function: Callable[[torch.Tensor], torch.Tensor], batch: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        found = self._device.run(function, batch, self._name)
        count, channels, height, width = batch.shape
        expected = (count, channels, height * self.scale, width * self.scale)
        if found.shape != expected:
            raise StudyError(
                f"{self._name}: expected planes of {expected[1:]} for {batch.shape[1:]}, found"
                f" {found.shape[1:]}; correct scale = {self.scale}, or name another network"
            )
        return found

    def _build(self, device: torch.device) -> None:
        self._steps = [
            _BUILDERS[layer.kind](
                self._torch,
                layer,
                [self._torch.from_numpy(np.array(array)).to(device) for array in layer.weights],
            )
            for layer in self._graph.layers
        ]

    def _run(self, batch: torch.Tensor) -> torch.Tensor:
        """Run each layer in its turn; what no later layer takes is let go."""
        blobs, uses = {self._graph.input: batch}, Counter(self._uses)
        for layer, step in zip(self._graph.layers, self._steps, strict=True):
            result = step(*(blobs[name] for name in layer.bottoms))
            for name in layer.bottoms:
                uses[name] -= 1
                if not uses[name]:
                    blobs.pop(name)
            blobs.update(dict.fromkeys(layer.tops, result))
        return blobs[self._graph.output]


def _build_convolution(
    library: ModuleType, layer: Layer, weights: list[torch.Tensor]
) -> Callable[..., torch.Tensor]:
    kernel, bias = weights[0], weights[1] if len(weights) > 1 else None
    dilation, stride, padding = (layer.get_count(key) for key in (2, 3, 4))
    values = layer.get_list(10)
    activate = _build_activation(library, ACTIVATIONS[layer.get_count(9)], values)

    def convolve(planes: torch.Tensor) -> torch.Tensor:
        made = library.nn.functional.conv2d(planes, kernel, bias, stride, padding, dilation)
        return activate(made)

    return convolve


def _build_activation(
    library: ModuleType, name: str, values: tuple[float, ...]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Give what a convolution ends with; in place, since nothing else sees its result."""
    functional = library.nn.functional
    made: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "none": lambda planes: planes,
        "relu": functional.relu_,
        "leaky_relu": lambda planes: functional.leaky_relu_(planes, values[0]),
        "clip": lambda planes: planes.clamp_(values[0], values[1]),
        "sigmoid": library.sigmoid_,
    }
    return made[name]


def _build_binary(
    library: ModuleType, layer: Layer, weights: list[torch.Tensor]
) -> Callable[..., torch.Tensor]:
    made: dict[str, Callable[..., torch.Tensor]] = {
        "add": library.add,
        "sub": library.sub,
        "mul": library.mul,
        "div": library.div,
        "max": library.maximum,
        "min": library.minimum,
        "pow": library.pow,
        "rsub": lambda left, right: right - left,
        "rdiv": lambda left, right: right / left,
    }
    function = made[BINARY_OPERATIONS[layer.get_count(0)]]
    if not layer.get_count(1):
        return function
    scalar = layer.get_number(2)
    return lambda planes: function(planes, library.full((), scalar, device=planes.device))


def _build_eltwise(
    library: ModuleType, layer: Layer, weights: list[torch.Tensor]
) -> Callable[..., torch.Tensor]:
    name, factors = ELTWISE[layer.get_count(0)], layer.get_list(1)
    made = {"prod": library.mul, "sum": library.add, "max": library.maximum}
    pair: Callable[..., torch.Tensor] = made[name]

    def combine(*blobs: torch.Tensor) -> torch.Tensor:
        if name == "sum" and factors:
            blobs = tuple(blob * by for blob, by in zip(blobs, factors, strict=True))
        total = blobs[0]
        for blob in blobs[1:]:
            total = pair(total, blob)
        return total

    return combine


def _build_interpolation(
    library: ModuleType, layer: Layer, weights: list[torch.Tensor]
) -> Callable[..., torch.Tensor]:
    mode = INTERPOLATIONS[layer.get_count(0)]
    by_height, by_width = layer.get_number(1), layer.get_number(2)
    corners = None if mode == "nearest" else False

    def resize(planes: torch.Tensor) -> torch.Tensor:
        size = (int(planes.shape[-2] * by_height), int(planes.shape[-1] * by_width))
        made: torch.Tensor = library.nn.functional.interpolate(
            planes, size, mode=mode, align_corners=corners
        )
        return made

    return resize


def _build_relu(
    library: ModuleType, layer: Layer, weights: list[torch.Tensor]
) -> Callable[..., torch.Tensor]:
    slope = layer.get_number(0)
    return lambda planes: library.nn.functional.leaky_relu(planes, slope)


def _build_shuffle(
    library: ModuleType, layer: Layer, weights: list[torch.Tensor]
) -> Callable[..., torch.Tensor]:
    factor = layer.get_count(0)
    return lambda planes: library.nn.functional.pixel_shuffle(planes, factor)


_Builder = Callable[[ModuleType, Layer, "list[torch.Tensor]"], "Callable[..., torch.Tensor]"]
_BUILDERS: dict[str, _Builder] = {
    "BinaryOp": _build_binary,
    "Concat": lambda library, layer, weights: lambda *blobs: library.cat(blobs, 1),
    "Convolution": _build_convolution,
    "Eltwise": _build_eltwise,
    "Interp": _build_interpolation,
    "MemoryData": lambda library, layer, weights: lambda: weights[0][None],
    "PReLU": lambda library, layer, weights: lambda blob: library.prelu(blob, weights[0]),
    "PixelShuffle": _build_shuffle,
    "ReLU": _build_relu,
    "Sigmoid": lambda library, layer, weights: library.sigmoid,
    "Split": lambda library, layer, weights: lambda blob: blob,
    "Swish": lambda library, layer, weights: library.nn.functional.silu,
}
