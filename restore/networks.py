"""What a network is to this project: planes in, more planes out, nothing clamped."""

from __future__ import annotations

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
    several inputs of one shape has more, as `BatchNetwork`.
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

    def average_batch(self, batch: np.ndarray) -> np.ndarray:
        """Average each result as `restore.variants.average_variants` does, where it is made."""
        ...
