"""The decoder in fixed point: the same pixels on every machine, at any number of threads.

Floating-point convolutions add in an order that differs between processors, libraries and thread
counts. Here weights and activations are integers held in float64 and no partial sum reaches 2^53,
so that every product and sum is exact and no order matters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import canonical_json
from upscale_audit.restore.codec.networks import NEGATIVE_SLOPE, ResidualBlock

if TYPE_CHECKING:
    import numpy.typing as npt


ACTIVATION_BITS, WEIGHT_BITS = 14, 12
"""Binary digits after the point of activations and weights."""
ACTIVATION_LIMIT = 1 << 20
"""Largest activation, in units of 2^-14: 64."""
LEVELS_PER_DN = 16
"""The decoded prediction is a multiple of 1/16 grey level."""
_EXACT_LIMIT = float(1 << 53)
_SLOPE_DIVISOR = int(1 / NEGATIVE_SLOPE)
# A strip of latent rows at a time bounds the memory; see `_find_margin`.
_STRIP_ROWS = 32


@dataclass(frozen=True)
class Layer:
    """One convolution in fixed point.

    Attributes
    ----------
    is_transposed : bool
        Of side 2 s, with stride s and padding s / 2, enlarging s times; else 3x3 with padding 1.
    weight : (P, Q, K, K) int16 array
        In units of 2^-12, in the order of `torch.nn.Conv2d` or `ConvTranspose2d`.
    bias : (O,) int32 array
        In units of 2^-14.
    ends_block : bool
        What the layer before was given is added to the sums: a residual block ends here.
    """

    is_transposed: bool
    weight: npt.NDArray[np.int16]
    bias: npt.NDArray[np.int32]
    ends_block: bool = False

    @property
    def stride(self) -> int:
        """How many times it enlarges."""
        return self.weight.shape[-1] // 2 if self.is_transposed else 1


def round_decoder(decoder: torch.nn.Sequential) -> tuple[Layer, ...]:
    """Bring a trained decoder to fixed point.

    Parameters
    ----------
    decoder : torch.nn.Sequential
        As `restore.codec.networks.make_decoder` makes it.

    Returns
    -------
    tuple of Layer

    Raises
    ------
    StudyError
        A weight is outside -8..8 or a bias outside +-2^17, which fixed point cannot hold: the
        training diverged.
    """
    layers = []
    for module, ends_block in _list_convolutions(decoder):
        weight = np.rint(module.weight.detach().double().numpy() * (1 << WEIGHT_BITS))
        bias = np.rint(module.bias.detach().double().numpy() * (1 << ACTIVATION_BITS))
        fits = np.all(np.abs(weight) <= 2**15 - 1) and np.all(np.abs(bias) <= 2**31 - 1)
        if not fits:  # also where a value is not a number
            raise StudyError(
                f"training diverged: expected decoder weights within +-8, found"
                f" {np.abs(weight).max() / (1 << WEIGHT_BITS):.3g}; train again with another"
                " --seed or fewer --steps"
            )
        is_transposed = isinstance(module, nn.ConvTranspose2d)
        numbers = weight.astype(np.int16), bias.astype(np.int32)
        layers.append(Layer(is_transposed, *numbers, ends_block))
    return tuple(layers)


def _list_convolutions(
    decoder: torch.nn.Sequential,
) -> list[tuple[nn.Conv2d | nn.ConvTranspose2d, bool]]:
    """List the convolutions in their order, and whether a residual block ends with them."""
    found: list[tuple[nn.Conv2d | nn.ConvTranspose2d, bool]] = []
    for module in decoder:
        if isinstance(module, ResidualBlock):
            found += [(module.first, False), (module.second, True)]
        elif not isinstance(module, nn.LeakyReLU):
            found.append((module, False))
    return found


def dump_layers(design: Mapping[str, Any], layers: tuple[Layer, ...]) -> bytes:
    """Spell what a receiver needs to decode: the design as JSON, then weights and biases.

    Parameters
    ----------
    design : dict
    layers : tuple of Layer

    Returns
    -------
    bytes
        Little-endian; its length is what `ratio_with_decoder` counts.
    """
    parts = [canonical_json(design).encode()]
    for layer in layers:
        parts += [layer.weight.astype("<i2").tobytes(), layer.bias.astype("<i4").tobytes()]
    return b"".join(parts)


def hash_layers(design: Mapping[str, Any], layers: tuple[Layer, ...]) -> bytes:
    """SHA-256 of `dump_layers`, 32 bytes: what a stream names its model by."""
    return hashlib.sha256(dump_layers(design, layers)).digest()


def check_exact(layers: tuple[Layer, ...]) -> None:
    """Make sure that no sum can reach 2^53, whatever the latent.

    Raises
    ------
    StudyError
        A layer's weights are so large that a sum could be rounded.
    """
    for number, layer in enumerate(layers, start=1):
        axes = (0, 2, 3) if layer.is_transposed else (1, 2, 3)
        reach = np.abs(layer.weight.astype(np.float64)).sum(axis=axes) * ACTIVATION_LIMIT
        reach = reach + np.abs(layer.bias.astype(np.float64)) * (1 << WEIGHT_BITS)
        reach = reach + layer.ends_block * ACTIVATION_LIMIT * (1 << WEIGHT_BITS)
        if reach.max() >= _EXACT_LIMIT:
            raise StudyError(
                f"decoder layer {number}: sums could reach {reach.max():.3g}, and exact decoding"
                f" needs less than {_EXACT_LIMIT:.3g}; train the codec again"
            )


def run_decoder(
    layers: tuple[Layer, ...], latent: npt.NDArray[np.int8], step: float
) -> npt.NDArray[np.float32]:
    """Decode a quantised latent.

    Parameters
    ----------
    layers : tuple of Layer
    latent : (C, M, N) int8 array
        In units of `step`.
    step : float
        A float32 value above 0.

    Returns
    -------
    (planes * M * stride, N * stride) float32 array
        Planes one below the other; grey levels, multiples of 1/16 in 0..255; the same bits
        everywhere.

    Notes
    -----
    A residual block adds its input, an integer times 2^12, before its last sum is rounded.
    Between layers the sums are rounded half to even to 2^-14 and kept within +-64. The leaky
    rectifier's slope of 1/4 divides an integer by a power of two, which float64 holds exactly.
    The idea of integer networks for coding is that of Ballé et al.; integers held in float64
    instead of an integer type are this project's. [OWN]

    References
    ----------
    Ballé, J., Johnston, N. & Minnen, D. (2019). Integer networks for data compression with
    latent-variable models. ICLR. https://openreview.net/forum?id=S1zz2i0cY7
    """
    scaled = latent.astype(np.float64) * float(np.float32(step)) * (1 << ACTIVATION_BITS)
    start = np.clip(np.rint(scaled), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    rows, margin = start.shape[1], _find_margin(layers)
    stride = math.prod(layer.stride for layer in layers)
    parts = []
    for first in range(0, rows, _STRIP_ROWS):
        top, bottom = max(0, first - margin), first + _STRIP_ROWS + margin
        levels = _run_strip(layers, start[:, top:bottom])
        skipped = (first - top) * stride
        parts.append(levels[:, skipped : skipped + _STRIP_ROWS * stride])
    return np.concatenate(parts, axis=1).reshape(-1, parts[0].shape[-1])


def _find_margin(layers: tuple[Layer, ...]) -> int:
    """Find how many latent rows beside its own an output row can depend on.

    Each layer reaches one row of what it is given to either side, whatever its stride. With as
    many rows more, strips give the bits of the whole.
    """
    reach, enlarged = Fraction(0), 1
    for layer in layers:
        reach += Fraction(1, enlarged)
        enlarged *= layer.stride
    return math.ceil(reach) + 1


def _run_strip(
    layers: tuple[Layer, ...], start: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    values = torch.from_numpy(start)[None]
    before = values
    with torch.no_grad():
        for number, layer in enumerate(layers, start=1):
            sums = _convolve(values, layer)
            if layer.ends_block:
                sums = sums + before * (1 << WEIGHT_BITS)
            before = values
            if number < len(layers):
                sums = torch.where(sums < 0, sums / _SLOPE_DIVISOR, sums)
            values = torch.round(sums / (1 << WEIGHT_BITS))
            values = values.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    scaled = values[0].numpy() * (255 * LEVELS_PER_DN) / (1 << ACTIVATION_BITS)
    levels = np.rint(scaled + 127.5 * LEVELS_PER_DN)
    found: npt.NDArray[np.float32] = (
        np.clip(levels, 0, 255 * LEVELS_PER_DN) / LEVELS_PER_DN
    ).astype(np.float32)
    return found


def _convolve(values: torch.Tensor, layer: Layer) -> torch.Tensor:
    weight = torch.from_numpy(layer.weight.astype(np.float64))
    bias = torch.from_numpy(layer.bias.astype(np.float64) * (1 << WEIGHT_BITS))
    if layer.is_transposed:
        return functional.conv_transpose2d(
            values, weight, bias, stride=layer.stride, padding=layer.stride // 2
        )
    return functional.conv2d(values, weight, bias, padding=1)
