"""Training ChestX-ray8's network: seeded, weighed as in the paper, stopped by the validation."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from upscale_audit.ingest.errors import StudyError, require_value
from upscale_audit.reading.chestxray8 import place_network
from upscale_audit.reading.chestxray8_network import (
    ChestXray8Network,
    NetworkDesign,
    fill_trunk,
    weigh_cross_entropy,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from upscale_audit.reading.labelled import StoredRows


PRECISIONS = ("float32", "tf32", "bf16")
CURVE_COLUMNS = ("epoch", "train_loss", "validation_loss", "is_kept")


@dataclass(frozen=True)
class TrainingParameters:
    """What decides the weights, besides the images, the labels and the network's design.

    Attributes
    ----------
    epochs : int
        At most; the weights of the one with the least validation loss are kept.
    patience : int
        Epochs without a lesser validation loss after which training ends; 0 never ends it early.
    batch_size : int
        Images in a batch, at least 2: its statistics normalise it. A last one that would be of one
        image is left out of the epoch.
    learning_rate : float
        Of Adam; it rises over the first epoch and falls as a cosine to the last of `epochs`.
    weight_decay : float
        Of AdamW, on all weights.
    shift_ratio : float
        An image is moved by at most this share of its side, down and across, its edge continued.
    is_flipped : bool
        Mirror left and right by chance. Off: the heart lies on the left.
    precision : {"float32", "tf32", "bf16"}
        The others are for GPUs: less exact, and faster.
    seed : int
        Of the first weights, the order and the moves.
    threads : int
        Of a processor; sums differ with their number, and so do the weights.
    """

    epochs: int = 30
    patience: int = 6
    batch_size: int = 16
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    shift_ratio: float = 0.03
    is_flipped: bool = False
    precision: str = "float32"
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "patience": 0, "batch_size": 2, "threads": 1}.items():
            require_value(getattr(self, name) >= least, name, getattr(self, name), f"{least}..")
        is_rate = 0 < self.learning_rate < 1
        require_value(is_rate, "learning_rate", self.learning_rate, "a number above 0, below 1")
        require_value(0 <= self.weight_decay < 1, "weight_decay", self.weight_decay, "0 to below 1")
        require_value(0 <= self.shift_ratio <= 0.5, "shift_ratio", self.shift_ratio, "0..0.5")
        require_value(self.precision in PRECISIONS, "precision", self.precision, PRECISIONS)
        require_value(0 <= self.seed < 2**63, "seed", self.seed, "0 or more, below 2^63")


@dataclass(frozen=True)
class LabelledImages:
    """Images of one size and their labels.

    Attributes
    ----------
    images : (N, P, P) uint8 array or reading.labelled.StoredRows
        Grey levels; may be a file that is mapped.
    labels : (N, C) bool array
    """

    images: npt.NDArray[np.uint8] | StoredRows
    labels: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)


def describe_training(design: NetworkDesign, parameters: TrainingParameters) -> dict[str, Any]:
    """Say what decides the weights besides images and labels: JSON values."""
    return {"design": asdict(design), "parameters": asdict(parameters), "torch": torch.__version__}


def train_network(
    design: NetworkDesign,
    train: LabelledImages,
    validation: LabelledImages | None,
    parameters: TrainingParameters,
    device: str = "cpu",
    trunk_weights: tuple[str, Mapping[str, Any]] | None = None,
    progress: Callable[..., None] | None = None,
) -> tuple[ChestXray8Network, list[dict[str, Any]]]:
    """Train a network.

    Parameters
    ----------
    design : reading.chestxray8_network.NetworkDesign
    train : LabelledImages
    validation : LabelledImages or None
        None keeps the weights of the last epoch.
    parameters : TrainingParameters
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.
    trunk_weights : (str, dict), optional
        A file's name, and torchvision's state dict of the trunk's network in it.
    progress : callable, optional
        Called as ``progress(done, total)`` with batches.

    Returns
    -------
    network : ChestXray8Network
        In evaluation mode, on the CPU.
    curve : list of dict
        A row an epoch, of `CURVE_COLUMNS`; `validation_loss` is None without a validation.

    Raises
    ------
    StudyError
        Fewer than two images to train on, the device is not there, a loss is no number, memory
        ran out.

    Notes
    -----
    The loss is `weigh_cross_entropy`, balanced over each batch as in the paper; that of the
    validation is balanced over all its labels, as one batch. The paper uses Caffe, weights of
    ImageNet and 80 images between steps; AdamW, the learning rate and its course are of this
    project. The same inputs give the same weights on one processor with one version of torch and
    as many threads; elsewhere the last bits may differ.
    """
    if len(train) < 2:
        raise StudyError(f"expected two images or more to train on, found {len(train)}; name more")
    with _fixed_state(parameters, device):
        network = ChestXray8Network(design)
        if trunk_weights is not None:
            fill_trunk(network.trunk, trunk_weights[1], trunk_weights[0])
        place_network(network, device)
        try:
            curve = _Course(network, train, parameters, device).run(validation, progress)
        except torch.OutOfMemoryError as error:
            raise StudyError(
                f"memory of {device} ran out ({str(error).partition('. ')[0]}); give a smaller"
                " --batch, --input-px or --trunk"
            ) from None
        return network.to("cpu").eval(), curve


def compute_logits(
    network: ChestXray8Network,
    images: npt.NDArray[np.uint8] | StoredRows,
    device: str = "cpu",
    batch_size: int = 16,
) -> npt.NDArray[np.float64]:
    """Compute logits (N, C) of uint8 images (N, P, P), in float32 and evaluation mode."""
    network.eval()
    logits = [np.empty((0, network.design.findings))]
    with torch.inference_mode():
        for begin in range(0, len(images), batch_size):
            levels = torch.from_numpy(np.array(images[begin : begin + batch_size], np.float32))
            logits.append(network(levels.to(device)).double().cpu().numpy())
    return np.concatenate(logits)


def measure_loss(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> float:
    """Measure the weighed cross-entropy of logits (N, C) and labels (N, C), as of one batch."""
    return float(weigh_cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels).double()))


def draw_batches(
    count: int, parameters: TrainingParameters, epoch: int
) -> list[npt.NDArray[np.intp]]:
    """Draw the order of an epoch: every image once, in batches of two or more."""
    order = np.random.default_rng((parameters.seed, epoch)).permutation(count)
    size = parameters.batch_size
    batches = [order[begin : begin + size] for begin in range(0, count, size)]
    return batches if len(batches[-1]) > 1 else batches[:-1]


def move_images(
    images: npt.NDArray[np.uint8], parameters: TrainingParameters, generator: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Move, and where it is asked for mirror, each image by chance.

    Parameters
    ----------
    images : (B, P, P) uint8 array
    parameters : TrainingParameters
    generator : numpy.random.Generator

    Returns
    -------
    (B, P, P) uint8 array
    """
    side = images.shape[1]
    reach = round(parameters.shift_ratio * side)
    moved = np.empty_like(images)
    for number, image in enumerate(images):
        rows, cols = (
            np.clip(np.arange(side) + shift, 0, side - 1)
            for shift in generator.integers(-reach, reach, 2, endpoint=True)
        )
        if parameters.is_flipped and generator.integers(2):
            cols = cols[::-1]
        moved[number] = image[np.ix_(rows, cols)]
    return moved


def share_rate(step: int, warm: int, total: int) -> float:
    """Share of the learning rate after `step` steps: up over `warm` of them, down to `total`."""
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


class _Course:
    """One training: the network, what it learns from and the state of its optimiser."""

    def __init__(
        self,
        network: ChestXray8Network,
        train: LabelledImages,
        parameters: TrainingParameters,
        device: str,
    ) -> None:
        self._network, self._train, self._parameters = network, train, parameters
        self._device = device
        self._batches = len(draw_batches(len(train), parameters, 1))
        self._total = self._batches * parameters.epochs
        self._optimizer = torch.optim.AdamW(
            network.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: share_rate(step, self._batches, self._total)
        )

    def run(
        self, validation: LabelledImages | None, progress: Callable[..., None] | None
    ) -> list[dict[str, Any]]:
        """Train to the end, put the best weights back, and give the curve."""
        curve: list[dict[str, Any]] = []
        best, least, kept = 0, math.inf, None
        for epoch in range(1, self._parameters.epochs + 1):
            row = {"epoch": epoch, "train_loss": self._learn(epoch, progress)}
            loss = self._judge(validation) if validation is not None else -float(epoch)
            if not (math.isfinite(row["train_loss"]) and math.isfinite(loss)):
                raise StudyError(
                    f"the loss is not a number in epoch {epoch}; give a smaller --learning-rate, or"
                    " another --seed"
                )
            curve.append(row | {"validation_loss": loss if validation is not None else None})
            if loss < least:
                best, least = epoch, loss
                kept = self._copy() if validation is not None else None
            elif 0 < self._parameters.patience <= epoch - best:
                break
        if kept is not None:
            self._network.load_state_dict(kept)
        return [row | {"is_kept": row["epoch"] == best} for row in curve]

    def _learn(self, epoch: int, progress: Callable[..., None] | None) -> float:
        """Train for an epoch; give the mean loss of its batches."""
        self._network.train()
        generator = np.random.default_rng((self._parameters.seed, epoch, 1))
        losses = []
        for number, rows in enumerate(draw_batches(len(self._train), self._parameters, epoch)):
            images = move_images(self._train.images[rows], self._parameters, generator)
            loss = weigh_cross_entropy(
                self._compute(images), self._send(self._train.labels[rows].astype(np.float32))
            )
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            self._schedule.step()
            losses.append(loss.detach())
            if progress is not None:
                progress(self._batches * (epoch - 1) + number + 1, self._total)
        return float(torch.stack(losses).mean())

    def _compute(self, images: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Compute logits in the precision that is asked for, as float32."""
        is_bf16 = self._parameters.precision == "bf16"
        kind = self._device.partition(":")[0]
        with torch.autocast(kind, torch.bfloat16, enabled=is_bf16):
            logits: torch.Tensor = self._network(self._send(images).float())
        return logits.float()

    def _judge(self, validation: LabelledImages) -> float:
        size = self._parameters.batch_size
        logits = compute_logits(self._network, validation.images, self._device, size)
        return measure_loss(logits, validation.labels)

    def _send(self, values: npt.NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self._network.state_dict().items()}


@contextlib.contextmanager
def _fixed_state(parameters: TrainingParameters, device: str) -> Iterator[None]:
    """Seed torch, fix its threads and precision, and put all of it back."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    threads = torch.get_num_threads()
    former = (matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark)
    devices = [device] if device.startswith("cuda") and torch.cuda.is_available() else []
    torch.set_num_threads(parameters.threads)
    matmul.allow_tf32 = cudnn.allow_tf32 = parameters.precision == "tf32"
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(parameters.seed)
            yield
    finally:
        torch.set_num_threads(threads)
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = former
