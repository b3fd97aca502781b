"""Training a codec on crops of a few images, in minutes on a processor."""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
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
    jitter: float = 0.0
    """Colour jitter: each plane of a crop times 1 +- so much, plus +- half of it times 255, drawn
    anew for each crop and plane; 0 to below 1."""
    learned_planes: tuple[int, ...] = ()
    """Planes that the loss sees, from 0; empty: all of them."""

    def __post_init__(self) -> None:
        limits = {"steps": 1, "batch_size": 1, "crop_px": 16, "threads": 1, "report_steps": 1}
        for name, least in limits.items():
            if getattr(self, name) < least:
                raise StudyError(f"{name} = {getattr(self, name)}; expected {least} or more")
        if self.crop_px % 16:
            raise StudyError(f"crop_px = {self.crop_px}; expected a multiple of 16")
        if not 0 <= self.seed < 2**63:
            raise StudyError(f"seed = {self.seed}; expected 0 or more, below 2^63")
        if not 0 <= self.jitter < 1:
            raise StudyError(f"jitter = {self.jitter}; expected a number from 0 to below 1")

    def describe(self) -> dict[str, Any]:
        """Say the parameters as JSON values.

        Notes
        -----
        Colour's are left out where they have their defaults: what was trained before there was
        colour keeps its description.
        """
        plain = {"jitter": 0.0, "learned_planes": ()}
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value != plain.get(key, ...)
        }


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
        "parameters": parameters.describe(),
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
    keep: Mapping[int, Callable[[Codec], None]] | None = None,
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
    keep : dict, optional
        Called with the codec as it is after a step, by the number of the step. The weights that
        come of the training are the same with it and without.

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
    _check_inputs(design, images, held_out, parameters)
    variance = float(np.var(_scale(np.concatenate([image.grey.ravel() for image in images]))))
    with _fixed_state(parameters):
        encoder, decoder = Encoder(design), make_decoder(design)
        training = describe_training(images, held_out, parameters)

        def call_keep(step: int) -> None:
            if keep is not None and step in keep:
                known = training | {"step": step}
                keep[step](make_codec(design, copy.deepcopy(encoder), decoder, known))
            if progress is not None:
                progress(step, parameters.steps)

        networks = encoder, decoder
        curve = _learn(networks, design, images, held_out, parameters, variance, call_keep)
        return make_codec(design, encoder, decoder, training), curve


def count_epoch_steps(images: Sequence[GreyImage], parameters: TrainingParameters) -> int:
    """Count the steps in which as many pixels are drawn as the images have.

    Parameters
    ----------
    images : list of restore.codec.images.GreyImage
        Those that are learned from.
    parameters : TrainingParameters

    Returns
    -------
    int
        At least 1. Crops are drawn at random, so that an epoch is an amount and no pass. [OWN]
    """
    pixels = sum(int(image.stack[0].size) for image in images)
    return -(-pixels // (parameters.batch_size * parameters.crop_px**2))


def write_curve(curve: Sequence[dict[str, float | None]], path: Path) -> None:
    """Write a training curve as CSV with `CURVE_COLUMNS`; missing is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CURVE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    write_text(path, text.getvalue())


def _check_inputs(
    design: CodecDesign,
    images: Sequence[GreyImage],
    held_out: Sequence[GreyImage],
    parameters: TrainingParameters,
) -> None:
    """Raise StudyError where a design cannot be trained on these images."""
    for image in (*images, *held_out):
        rows, cols = image.stack.shape[1:]
        if min(rows, cols) < parameters.crop_px:
            raise StudyError(
                f"{image.image_id}: expected sides of {parameters.crop_px} px or more, found"
                f" {cols}x{rows}; leave it out or lower --crop"
            )
        if image.planes != design.planes:
            raise StudyError(
                f"{image.image_id}: expected {design.planes} planes as the design has, found"
                f" {image.planes}; train a codec of {image.planes} planes"
            )
    if not all(0 <= plane < design.planes for plane in parameters.learned_planes):
        raise StudyError(
            f"learned_planes = {parameters.learned_planes}; expected numbers from 0 to below"
            f" {design.planes}, the planes of the design"
        )
    if min(image.grey.min() for image in images) == max(image.grey.max() for image in images):
        raise StudyError("all training pixels are equal; name images with something in them")


def _learn(
    networks: tuple[Encoder, torch.nn.Sequential],
    design: CodecDesign,
    images: Sequence[GreyImage],
    held_out: Sequence[GreyImage],
    parameters: TrainingParameters,
    variance: float,
    on_step: Callable[[int], None],
) -> list[dict[str, float | None]]:
    encoder, decoder = networks
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(weights, lr=parameters.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _share_rate(step, parameters.steps)
    )
    crops = _draw_crops([_scale(image.stack) for image in images], parameters)
    scenes = [_cut_centre(image.stack, design.stride_px) for image in held_out]
    learned = parameters.learned_planes
    pixels = parameters.crop_px**2
    curve, losses, divergences = [], [], []
    for step, batch in enumerate(crops, start=1):
        mean, log_variance = encoder(batch)
        restored = decoder(_disturb(mean, log_variance))
        seen = _fold_planes(restored, learned), _fold_planes(batch, learned)
        loss = measure_loss(*seen, loss=design.loss, variance=variance)
        total = loss
        if log_variance is not None:
            divergence = measure_divergence(mean, log_variance) / pixels
            total = loss + parameters.divergence_weight * divergence
            divergences.append(divergence.item())
        if not math.isfinite(total.item()):
            raise StudyError(
                f"the loss is not a number at step {step}; train again with another --seed"
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
        on_step(step)
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
            restored = _fold_planes(decoder(latent.clamp(-LATENT_LIMIT, LATENT_LIMIT)))
            scene = _fold_planes(scene)
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
    """Yield batches (B, planes, P, P) of random crops in random orientations."""
    generator = np.random.default_rng(parameters.seed)
    # Of its own, so that the same crops are drawn with jitter and without.
    colours = np.random.default_rng((parameters.seed, 1))
    side = parameters.crop_px
    for _ in range(parameters.steps):
        crops = []
        for _ in range(parameters.batch_size):
            plane = planes[int(generator.integers(len(planes)))]
            row, col = (int(generator.integers(length - side + 1)) for length in plane.shape[1:])
            square = plane[:, row : row + side, col : col + side]
            crop = np.rot90(square, int(generator.integers(4)), axes=(1, 2))
            crop = crop[:, ::-1] if generator.integers(2) else crop
            crops.append(_jitter(crop, parameters.jitter, colours) if parameters.jitter else crop)
        yield torch.from_numpy(np.stack(crops))


def _jitter(
    crop: npt.NDArray[np.float32], amount: float, generator: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Change contrast and brightness of each plane of a crop (planes, P, P)."""
    gain, offset = generator.uniform(-amount, amount, (2, len(crop), 1, 1)).astype(np.float32)
    changed: npt.NDArray[np.float32] = np.clip(crop * (1 + gain) + offset / 2, -0.5, 0.5)
    return changed


def _fold_planes(images: torch.Tensor, learned: tuple[int, ...] = ()) -> torch.Tensor:
    """Planes as images of their own, (B * planes, 1, M, N), all or those that are learned."""
    chosen = images[:, list(learned)] if learned else images
    return chosen.reshape(-1, 1, *images.shape[-2:])


def _cut_centre(stack: npt.NDArray[np.uint8], stride_px: int) -> torch.Tensor:
    lengths = stack.shape[1:]
    rows, cols = (min(_HELD_OUT_SIDE_PX, length // stride_px * stride_px) for length in lengths)
    top, left = (lengths[0] - rows) // 2, (lengths[1] - cols) // 2
    return torch.from_numpy(_scale(stack[:, top : top + rows, left : left + cols]))[None]


def _scale(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.asarray(grey.astype(np.float32) / 255 - np.float32(0.5), np.float32)


def _average(values: Sequence[float]) -> float:
    return fmean(values)


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
