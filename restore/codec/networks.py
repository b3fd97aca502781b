"""The networks of the learned codecs: a small convolutional encoder and decoder."""

import itertools
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from upscale_audit.ingest.errors import StudyError

KINDS = ("ae", "vae")
LOSSES = ("mse", "ssim", "mixed")
STRIDES_PX = (8, 16)
STRIDES = (2, 4)
"""By how much one convolution may shrink the image."""
MAX_RESIDUAL_BLOCKS = 4
NEGATIVE_SLOPE = 0.25
"""Of the leaky rectifiers; a power of two, so that `restore.codec.exact` divides exactly."""
LATENT_LIMIT = 7.9375
"""Largest latent value: 127 steps of `FINEST_STEP`."""
FINEST_STEP = 1 / 16
_WIDTHS = (16, 32, 48, 64)
"""Channels once the image is 2, 4, 8 and 16 times smaller."""


@dataclass(frozen=True)
class CodecDesign:
    """What decides a network's shape and what it is trained for.

    Attributes
    ----------
    kind : {"ae", "vae"}
        Autoencoder, or variational autoencoder with a standard normal prior.
    loss : {"mse", "ssim", "mixed"}
        See `restore.codec.losses`.
    stride_px : {8, 16}
        Pixels along a side for each latent position.
    latent_channels : int
        Latent values at each position, 1 to 64.
    planes : {1, 3}
        Of an image: grey, or red, green and blue.
    strides : tuple of {2, 4}
        Of the encoder's convolutions, in their order; their product is `stride_px`. Empty: as
        many of 2 as that takes.
    residual_blocks : int
        Pairs of 3x3 convolutions, added to what they were given, after each of these
        convolutions and of those that undo them, 0 to `MAX_RESIDUAL_BLOCKS`.

    Notes
    -----
    There is no skip connection from encoder to decoder: a decoder has the file alone, so that
    what skips the latent would have to be sent. The 16 channels of the first halving are four
    values a pixel, four times the raw image at 8 bits each.
    """

    kind: str
    loss: str
    stride_px: int = 16
    latent_channels: int = 8
    planes: int = 1
    strides: tuple[int, ...] = ()
    residual_blocks: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (("kind", KINDS), ("loss", LOSSES), ("stride_px", STRIDES_PX)):
            if getattr(self, name) not in allowed:
                expected = ", ".join(map(str, allowed))
                raise StudyError(
                    f"codec {name} = {getattr(self, name)!r}; expected one of {expected}"
                )
        if not (type(self.latent_channels) is int and 1 <= self.latent_channels <= 64):
            raise StudyError(
                f"codec latent_channels = {self.latent_channels!r}; expected an integer 1..64"
            )
        if self.planes not in (1, 3):
            raise StudyError(f"codec planes = {self.planes!r}; expected 1 (grey) or 3 (colour)")
        object.__setattr__(self, "strides", tuple(self.strides))  # JSON has lists
        known = all(type(stride) is int and stride in STRIDES for stride in self.strides)
        if self.strides and not (known and math.prod(self.strides) == self.stride_px):
            raise StudyError(
                f"codec strides = {list(self.strides)}; expected 2 and 4 with the product"
                f" {self.stride_px}, as {', '.join('2' * (self.stride_px.bit_length() - 1))}"
            )
        blocks = self.residual_blocks
        if not (type(blocks) is int and 0 <= blocks <= MAX_RESIDUAL_BLOCKS):
            raise StudyError(
                f"codec residual_blocks = {blocks!r}; expected an integer 0..{MAX_RESIDUAL_BLOCKS}"
            )

    @property
    def steps_down(self) -> tuple[int, ...]:
        """Strides of the encoder's convolutions, in their order."""
        return self.strides or (2,) * (self.stride_px.bit_length() - 1)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels after each of the encoder's convolutions."""
        shrunk = itertools.accumulate(self.steps_down, int.__mul__)
        return tuple(_WIDTHS[size.bit_length() - 2] for size in shrunk)

    def describe(self) -> dict[str, Any]:
        """Say the design as JSON values.

        Notes
        -----
        What stands as it was before it could be chosen is left out, so that the hashes of codecs
        that were trained then, and the names of their streams' models, remain.
        """
        found = asdict(self)
        chosen = {"planes", "strides", "residual_blocks"}
        plain = {item.name: item.default for item in fields(self) if item.name in chosen}
        kept = {key: value for key, value in found.items() if value != plain.get(key, ...)}
        return {key: list(v) if isinstance(v, tuple) else v for key, v in kept.items()}


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions whose result is added to what they were given, then rectified.

    Parameters
    ----------
    width : int
        Channels.

    References
    ----------
    He, K. et al. (2016). Deep residual learning for image recognition. CVPR, 770-778.
    https://doi.org/10.1109/CVPR.2016.90 (without batch normalisation, which fixed point has no
    use for).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Add what the convolutions make of (B, C, M, N) values to them."""
        inner = functional.leaky_relu(self.first(values), NEGATIVE_SLOPE)
        changed: torch.Tensor = self.second(inner)
        return functional.leaky_relu(values + changed, NEGATIVE_SLOPE)


class Encoder(nn.Module):
    """Image to latent: shrunk by convolutions, then a 3x3 convolution to the channels.

    A convolution of stride s has a side of 2 s + 1: 5x5 where it halves the image.

    Parameters
    ----------
    design : CodecDesign
    """

    def __init__(self, design: CodecDesign) -> None:
        super().__init__()
        self.is_variational = design.kind == "vae"
        widths = (design.planes, *design.widths)
        layers: list[nn.Module] = []
        for stride, (given, made) in zip(
            design.steps_down, itertools.pairwise(widths), strict=True
        ):
            side = 2 * stride + 1
            layers += [nn.Conv2d(given, made, side, stride=stride, padding=stride), _rectify()]
            layers += [ResidualBlock(made) for _ in range(design.residual_blocks)]
        channels = design.latent_channels * (2 if self.is_variational else 1)
        self.body = nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 3, padding=1))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Encode images.

        Parameters
        ----------
        images : torch.Tensor
            (B, planes, M, N) float32, grey level / 255 - 0.5; M and N multiples of the stride.

        Returns
        -------
        mean : torch.Tensor
            (B, C, M/stride, N/stride), within +-`LATENT_LIMIT`.
        log_variance : torch.Tensor or None
            The same shape, -12..4; None for an autoencoder.
        """
        latent = self.body(images)
        if not self.is_variational:
            return _bound(latent), None
        mean, log_variance = latent.chunk(2, dim=1)
        return _bound(mean), log_variance.clamp(-12, 4)


def make_decoder(design: CodecDesign) -> torch.nn.Sequential:
    """Make the decoder: a 3x3 convolution, transposed convolutions that enlarge, one 3x3.

    A transposed convolution of stride s has a side of 2 s: 4x4 where it doubles the image.

    Parameters
    ----------
    design : CodecDesign

    Returns
    -------
    torch.nn.Sequential
        (B, C, M/stride, N/stride) latent to (B, planes, M, N), grey level / 255 - 0.5.
    """
    widths = (*design.widths[::-1], _WIDTHS[0])
    layers: list[nn.Module] = [
        nn.Conv2d(design.latent_channels, widths[0], 3, padding=1),
        _rectify(),
    ]
    steps = design.steps_down[::-1]
    for stride, (given, made) in zip(steps, itertools.pairwise(widths), strict=True):
        enlarge = nn.ConvTranspose2d(given, made, 2 * stride, stride=stride, padding=stride // 2)
        layers += [enlarge, _rectify()]
        layers += [ResidualBlock(made) for _ in range(design.residual_blocks)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], design.planes, 3, padding=1))


def _rectify() -> torch.nn.LeakyReLU:
    return nn.LeakyReLU(NEGATIVE_SLOPE)


def _bound(latent: torch.Tensor) -> torch.Tensor:
    return LATENT_LIMIT * torch.tanh(latent / LATENT_LIMIT)
