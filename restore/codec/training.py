"""Training a codec on crops of a few images, in minutes on a processor."""

from __future__ import annotations

import contextlib
import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import write_text
from upscale_audit.restore.codec.losses import measure_divergence, measure_loss, measure_ssim
from upscale_audit.restore.codec.models import make_codec
from upscale_audit.restore.codec.networks import FINEST_STEP, LATENT_LIMIT, Encoder, make_decoder

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.restore.codec.images import GreyImage
    from upscale_audit.restore.codec.models import Codec
    from upscale_audit.restore.codec.networks import CodecDesign


COARSEST_TRAINED_STEP = 4.0
"""Autoencoders see latents rounded to steps from `FINEST_STEP` to this one, log-uniformly."""
_HELD_OUT_SIDE_PX = 256
CURVE_COLUMNS = (
    "step",
    "train_loss",
    "train_divergence_nats_per_px",
    "held_out_loss",
    "held_out_psnr_db",
    "held_out_ssim",
)


@dataclass(frozen=True)
class TrainingParameters:
    """Parameters that decide the weights, besides the images and the design.

    Attributes
    ----------
    steps : int
        Batches.
    batch_size : int
        Crops in a batch.
    crop_px : int
        Side of a crop; a multiple of 16, and at least 16.
    learning_rate : float
        The largest; it rises for the first tenth and falls as a cosine.
    divergence_weight : float
        Of the VAE's divergence in nats per pixel.
    seed : int
    threads : int
        Sums differ with their number, and so do the weights.
    report_steps : int
        Steps between rows of the curve.
    """

    steps: int = 600
    batch_size: int = 8
    crop_px: int = 96
    learning_rate: float = 2e-3
    divergence_weight: float = 0.01
    seed: int = 0
    threads: int = 1
    report_steps: int = 50

    def __post_init__(self) -> None:
        limits = {"steps": 1, "batch_size": 1, "crop_px": 16, "threads": 1, "report_steps": 1}
        for name, least in limits.items():
            if getattr(self, name) < least:
                raise StudyError(f"{name} = {getattr(self, name)}; expected {least} or more")
        if self.crop_px % 16:
            raise StudyError(f"crop_px = {self.crop_px}; expected a multiple of 16")


def describe_training(
    images: Sequence[GreyImage], held_out: Sequence[GreyImage], parameters: TrainingParameters
) -> dict[str, Any]:
    """Say what decides a codec's weights besides its design.

    Parameters
    ----------
    images, held_out : list of restore.codec.images.GreyImage
    parameters : TrainingParameters

    Returns
    -------
    dict
        JSON values; no time and no folder.
    """
    return {
        "parameters": asdict(parameters),
        "images": {image.image_id: image.sha256 for image in images},
        "held_out": {image.image_id: image.sha256 for image in held_out},
        "torch": torch.__version__,
    }


def train_codec(
    design: CodecDesign,
    images: Sequence[GreyImage],
    held_out: Sequence[GreyImage],
    parameters: TrainingParameters,
    progress: Callable[..., None] | None = None,
) -> tuple[Codec, list[dict[str, float | None]]]:
    """Train an encoder and a decoder together.

    Parameters
    ----------
    design : restore.codec.networks.CodecDesign
    images : list of restore.codec.images.GreyImage
        Crops of them, flipped and transposed at random, are learned from.
    held_out : list of restore.codec.images.GreyImage
        Not learned from; the curve holds their loss. May be empty.
    parameters : TrainingParameters
    progress : callable, optional
        Called as ``progress(done, total)`` after a step.

    Returns
    -------
    codec : restore.codec.models.Codec
    curve : list of dict
        A row per `report_steps`, with `CURVE_COLUMNS`; None where nothing was held out.

    Raises
    ------
    StudyError
        An image is smaller than a crop, all pixels are equal, or the loss is no number.

    Notes
    -----
    An autoencoder's latent gets uniform noise of a step's width, the usual stand-in for rounding
    while training; the step is drawn anew for each crop, so that one network serves coarse and
    fine latents. A VAE's latent gets its own noise. The same inputs give the same weights on one
    machine with one version of torch; other processors may differ in the last bits.

    References
    ----------
    Ballé, J., Laparra, V. & Simoncelli, E. P. (2017). End-to-end optimized image compression.
    ICLR. https://openreview.net/forum?id=rJxdQ3jeg
    """
    for image in (*images, *held_out):
        if min(image.grey.shape) < parameters.crop_px:
            raise StudyError(
                f"{image.image_id}: expected sides of {parameters.crop_px} px or more, found"
                f" {image.grey.shape[1]}x{image.grey.shape[0]}; leave it out or lower --crop"
            )
    pixels = np.concatenate([image.grey.ravel() for image in images])
    if pixels.min() == pixels.max():
        raise StudyError("all training pixels are equal; name images with something in them")
    variance = float(np.var(_scale(pixels)))
    with _fixed_state(parameters):
        encoder, decoder = Encoder(design), make_decoder(design)
        curve = _learn((encoder, decoder), design, images, held_out, parameters, variance, progress)
        training = describe_training(images, held_out, parameters)
        return make_codec(design, encoder, decoder, training), curve


def write_curve(curve: Sequence[dict[str, float | None]], path: Path) -> None:
    """Write a training curve as CSV with `CURVE_COLUMNS`; missing is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CURVE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    write_text(path, text.getvalue())


def _learn(
    networks: tuple[Encoder, torch.nn.Sequential],
    design: CodecDesign,
    images: Sequence[GreyImage],
    held_out: Sequence[GreyImage],
    parameters: TrainingParameters,
    variance: float,
    progress: Callable[..., None] | None,
) -> list[dict[str, float | None]]:
    encoder, decoder = networks
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(weights, lr=parameters.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _share_rate(step, parameters.steps)
    )
    crops = _draw_crops([_scale(image.grey) for image in images], parameters)
    scenes = [_cut_centre(image.grey, design.stride_px) for image in held_out]
    pixels = parameters.crop_px**2
    curve, losses, divergences = [], [], []
    for step, batch in enumerate(crops, start=1):
        mean, log_variance = encoder(batch)
        restored = decoder(_disturb(mean, log_variance))
        loss = measure_loss(restored, batch, loss=design.loss, variance=variance)
        total = loss
        if log_variance is not None:
            divergence = measure_divergence(mean, log_variance) / pixels
            total = loss + parameters.divergence_weight * divergence
            divergences.append(divergence.item())
        if not math.isfinite(total.item()):
            raise StudyError(
                f"the loss is no number at step {step}; train again with another --seed"
            )
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % parameters.report_steps == 0 or step == parameters.steps:
            row: dict[str, float | None] = {"step": step, "train_loss": _average(losses)}
            row["train_divergence_nats_per_px"] = _average(divergences) if divergences else None
            curve.append(row | _judge(networks, scenes, design, variance))
            losses, divergences = [], []
        if progress is not None:
            progress(step, parameters.steps)
    return curve


def _disturb(mean: torch.Tensor, log_variance: torch.Tensor | None) -> torch.Tensor:
    if log_variance is not None:
        return mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
    octaves = math.log2(COARSEST_TRAINED_STEP / FINEST_STEP)
    step = FINEST_STEP * 2 ** (octaves * torch.rand(len(mean), 1, 1, 1))
    return mean + (torch.rand_like(mean) - 0.5) * step


def _judge(
    networks: tuple[Encoder, torch.nn.Sequential],
    scenes: Sequence[torch.Tensor],
    design: CodecDesign,
    variance: float,
) -> dict[str, float | None]:
    encoder, decoder = networks
    if not scenes:
        return {"held_out_loss": None, "held_out_psnr_db": None, "held_out_ssim": None}
    losses, errors, similarities = [], [], []
    with torch.no_grad():
        for scene in scenes:
            latent = torch.round(encoder(scene)[0] / FINEST_STEP) * FINEST_STEP
            restored = decoder(latent.clamp(-LATENT_LIMIT, LATENT_LIMIT))
            losses.append(measure_loss(restored, scene, loss=design.loss, variance=variance).item())
            errors.append(torch.mean((restored - scene) ** 2).item())
            ssim = measure_ssim(restored + 0.5, scene + 0.5, data_range=1.0)
            similarities.append(ssim.item())
    return {
        "held_out_loss": _average(losses),
        "held_out_psnr_db": _average([-10 * math.log10(error) for error in errors]),
        "held_out_ssim": _average(similarities),
    }


def _share_rate(step: int, steps: int) -> float:
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _draw_crops(
    planes: Sequence[npt.NDArray[np.float32]], parameters: TrainingParameters
) -> Iterator[torch.Tensor]:
    """Yield batches (B, 1, P, P) of random crops in random orientations."""
    generator = np.random.default_rng(parameters.seed)
    side = parameters.crop_px
    for _ in range(parameters.steps):
        crops = []
        for _ in range(parameters.batch_size):
            plane = planes[int(generator.integers(len(planes)))]
            row, col = (int(generator.integers(length - side + 1)) for length in plane.shape)
            crop = np.rot90(plane[row : row + side, col : col + side], int(generator.integers(4)))
            crops.append(crop[::-1] if generator.integers(2) else crop)
        yield torch.from_numpy(np.stack(crops))[:, None]


def _cut_centre(grey: npt.NDArray[np.uint8], stride_px: int) -> torch.Tensor:
    rows, cols = (min(_HELD_OUT_SIDE_PX, length // stride_px * stride_px) for length in grey.shape)
    top, left = (grey.shape[0] - rows) // 2, (grey.shape[1] - cols) // 2
    return torch.from_numpy(_scale(grey[top : top + rows, left : left + cols]))[None, None]


def _scale(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.asarray(grey.astype(np.float32) / 255 - np.float32(0.5), np.float32)


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@contextlib.contextmanager
def _fixed_state(parameters: TrainingParameters) -> Iterator[None]:
    """Seed torch and fix its threads, and put both back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(parameters.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(parameters.seed)
            yield
    finally:
        torch.set_num_threads(threads)
