"""What a network is to this project: planes in, more planes out, nothing clamped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Network(Protocol):
    """An upscaling network that can be called.

    Attributes
    ----------
    scale : int
        Sides of the output over sides of the input.

    Notes
    -----
    `restore.ncnn_network`, `restore.ncnn_torch` and `restore.torch_network` load real ones; any
    object with these two members will do, a linear upsampler for instance. One that is faster over
    several inputs of one shape has two more, as `BatchNetwork`.
    """

    scale: int

    def forward(self, planes: np.ndarray) -> np.ndarray:
        """Run the network once.

        Parameters
        ----------
        planes : (C, h, w) float32 array
            Channels first, nominally 0..1; RGB where C is 3. A grey image is three equal planes.

        Returns
        -------
        (C, h * scale, w * scale) float32 array
            What the network gives: neither clamped to 0..1 nor rounded.
        """
        ...


class BatchNetwork(Network, Protocol):
    """A network that takes several inputs of one shape at once.

    Attributes
    ----------
    batch_size : int
        How many are worth giving; where it is one, nothing is put together.
    """

    batch_size: int

    def forward_batch(self, batch: np.ndarray) -> np.ndarray:
        """Run the network over (N, C, h, w) planes; each result as `Network.forward` gives it."""
        ...


def find_batch_size(network: Network) -> int:
    """Give how many inputs a network wants at once: one, unless it says more."""
    return getattr(network, "batch_size", 1)


def run_batch(network: Network, inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Run a network over several inputs of one shape.

    Parameters
    ----------
    network : Network
    inputs : sequence of (C, h, w) float32 arrays

    Returns
    -------
    sequence of (C, h * scale, w * scale) float32 arrays
        One for each input, in order. A network without `forward_batch` sees one by one.
    """
    forward_batch = getattr(network, "forward_batch", None)
    if forward_batch is None or len(inputs) == 1:
        return [network.forward(planes) for planes in inputs]
    found: Sequence[np.ndarray] = forward_batch(np.stack(inputs))
    return found
