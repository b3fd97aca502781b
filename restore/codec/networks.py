"""The networks of the learned codecs: a small convolutional encoder and decoder, grey images."""

import itertools
from dataclasses import dataclass

import torch
from torch import nn

from upscale_audit.ingest.errors import StudyError

KINDS = ("ae", "vae")
LOSSES = ("mse", "ssim", "mixed")
STRIDES_PX = (8, 16)
NEGATIVE_SLOPE = 0.25
"""Of the leaky rectifiers; a power of two, so that `restore.codec.exact` divides exactly."""
LATENT_LIMIT = 7.9375
"""Largest latent value: 127 steps of `FINEST_STEP`."""
FINEST_STEP = 1 / 16
_WIDTHS = (16, 32, 48, 64)


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
    """

    kind: str
    loss: str
    stride_px: int = 16
    latent_channels: int = 8

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

    @property
    def stages(self) -> int:
        """How often the encoder halves the image."""
        return self.stride_px.bit_length() - 1


class Encoder(nn.Module):
    """Image to latent: halved by 5x5 convolutions, then a 3x3 convolution to the channels.

    Parameters
    ----------
    design : CodecDesign
    """

    def __init__(self, design: CodecDesign) -> None:
        super().__init__()
        self.is_variational = design.kind == "vae"
        widths = (1, *_WIDTHS[: design.stages])
        layers = []
        for given, made in itertools.pairwise(widths):
            layers += [nn.Conv2d(given, made, 5, stride=2, padding=2), _rectify()]
        channels = design.latent_channels * (2 if self.is_variational else 1)
        self.body = nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 3, padding=1))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Encode images.

        Parameters
        ----------
        images : torch.Tensor
            (B, 1, M, N) float32, grey level / 255 - 0.5; M and N multiples of the stride.

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
    """Make the decoder: a 3x3 convolution, 4x4 transposed convolutions that double, one 3x3.

    Parameters
    ----------
    design : CodecDesign

    Returns
    -------
    torch.nn.Sequential
        (B, C, M/stride, N/stride) latent to (B, 1, M, N), grey level / 255 - 0.5.
    """
    widths = (*_WIDTHS[: design.stages][::-1], _WIDTHS[0])
    layers = [nn.Conv2d(design.latent_channels, widths[0], 3, padding=1), _rectify()]
    for given, made in itertools.pairwise(widths):
        layers += [nn.ConvTranspose2d(given, made, 4, stride=2, padding=1), _rectify()]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))


def _rectify() -> torch.nn.LeakyReLU:
    return nn.LeakyReLU(NEGATIVE_SLOPE)


def _bound(latent: torch.Tensor) -> torch.Tensor:
    return LATENT_LIMIT * torch.tanh(latent / LATENT_LIMIT)
