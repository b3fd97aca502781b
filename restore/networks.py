"""What a network is to this project: planes in, more planes out, nothing clamped."""

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
    `restore.ncnn_network` and `restore.torch_network` load real ones; any object with these two
    members will do, a linear upsampler for instance.
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
