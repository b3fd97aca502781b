"""A Brownian bridge from a decoded image to what may have been coded: a decoder that draws."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import canonical_json, locked, write_text
from upscale_audit.restore.codec import audit
from upscale_audit.restore.codec.coding import (
    ImageCoder,
    decode_stream,
    measure_quality,
    read_latent,
)
from upscale_audit.restore.codec.images import find_folder, read_images
from upscale_audit.restore.codec.jobs import write_bytes, write_png, write_rows
from upscale_audit.restore.codec.models import HEADER, load_codec, read_arrays, write_arrays
from upscale_audit.restore.codec.streams import SUFFIX

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.restore.codec.coding import CodedImage
    from upscale_audit.restore.codec.images import GreyImage
    from upscale_audit.restore.codec.models import Codec


FORMAT = "upscale-audit-bridge-1"
CURVE_COLUMNS = ("step", "loss")
RUN_COLUMNS = (
    "model_id",
    "image_id",
    "file_bytes",
    "psnr_db",
    "mse_dn2",
    "next_draw_mse_dn2",
    "latent_kept_ratio",
    "restored_sha256",
)
_WIDTH = 24
_REPORTS = 20


@dataclass(frozen=True)
class BridgePlan:
    """What decides a bridge and its training.

    Attributes
    ----------
    bridge_steps : int
        T, 2 or more: how many steps lead from the decoded image to the drawn one.
    noise_share : float
        s: the variance in the middle of the bridge is s/2.
    steps, batch_size, crop_px : int
        Of the training.
    learning_rate : float
    seed : int
    """

    bridge_steps: int = 20
    noise_share: float = 0.005
    steps: int = 1000
    batch_size: int = 4
    crop_px: int = 96
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bridge_steps < 2 or self.steps < 1 or self.batch_size < 1 or self.crop_px < 16:
            raise StudyError(
                "expected at least 2 bridge steps, 1 training step, 1 crop a batch and 16 px a side"
            )
        if not 0 <= self.seed < 2**63:
            raise StudyError(f"seed = {self.seed}; expected 0 or more, below 2^63")
        if not 0 <= self.noise_share < float("inf"):
            raise StudyError(f"--noise {self.noise_share}; expected a number of 0 or more")


class BridgeNetwork(nn.Module):
    """Guess the original from a place on the bridge: four 3x3 convolutions, added to the start."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, _WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, 1, 3, padding=1),
        )

    def forward(
        self, place: torch.Tensor, start: torch.Tensor, share: torch.Tensor
    ) -> torch.Tensor:
        """Guess x_0 (B, 1, M, N) from x_t, y and m_t (B, 1, 1, 1)."""
        planes = torch.cat([place, start, share.expand_as(place)], dim=1)
        return start + self.body(planes)


def measure_marginal(step: int, plan: BridgePlan) -> tuple[float, float]:
    """Share m_t of the start and variance delta_t of the noise at a step of the bridge.

    Parameters
    ----------
    step : int
        t, 0 (the original) to T (the decoded image).
    plan : BridgePlan

    Returns
    -------
    share, variance : float

    Notes
    -----
    x_t = (1 - m_t) x_0 + m_t y + sqrt(delta_t) e, m_t = t / T, delta_t = 2 s (m_t - m_t^2).

    References
    ----------
    Li, B. et al. (2023). BBDM: image-to-image translation with Brownian bridge diffusion models.
    CVPR, 1952-1961. https://arxiv.org/abs/2205.07680
    """
    share = step / plan.bridge_steps
    return share, 2 * plan.noise_share * (share - share * share)


def measure_posterior(step: int, plan: BridgePlan) -> tuple[float, float, float, float]:
    """Weights of x_t, x_0 and y in the mean of x_(t-1), and its variance, given all three.

    Parameters
    ----------
    step : int
        t, 1 to T.
    plan : BridgePlan

    Returns
    -------
    of_place, of_original, of_start, variance : float

    Notes
    -----
    With a = (1 - m_t) / (1 - m_(t-1)) and c = delta_t - a^2 delta_(t-1), the variance that one
    step adds: a delta_(t-1) / delta_t, (1 - m_(t-1)) c / delta_t,
    m_(t-1) - m_t a delta_(t-1) / delta_t, and c delta_(t-1) / delta_t. Where delta_t is 0, at T
    or without noise, x_t says nothing that y does not, and the marginal of t - 1 is taken.
    """
    share, variance = measure_marginal(step, plan)
    share_before, variance_before = measure_marginal(step - 1, plan)
    if step == plan.bridge_steps or variance == 0:
        return 0.0, 1 - share_before, share_before, variance_before
    kept = (1 - share) / (1 - share_before)
    added = variance - kept * kept * variance_before
    of_place = kept * variance_before / variance
    return (
        of_place,
        (1 - share_before) * added / variance,
        share_before - share * of_place,
        added * variance_before / variance,
    )


def train_bridge(
    pairs: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]], plan: BridgePlan
) -> tuple[BridgeNetwork, list[dict[str, float]]]:
    """Train on pairs of original and decoded image.

    Parameters
    ----------
    pairs : list of ((M, N) uint8 array, (M, N) uint8 array)
        Sides of `crop_px` or more.
    plan : BridgePlan

    Returns
    -------
    network : BridgeNetwork
    curve : list of dict
        With `CURVE_COLUMNS`: mean squared error of the guessed x_0, on grey level / 255.

    Notes
    -----
    The network guesses x_0, where the paper's guesses x_t - x_0; one follows from the other. The
    step t is drawn uniformly from 1..T. The same seed gives the same weights on one machine
    with one version of torch.
    """
    generator = np.random.default_rng(plan.seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    curve, losses = [], []
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            network = BridgeNetwork()
            optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
            for number in range(1, plan.steps + 1):
                original, start = _draw_pairs(pairs, plan, generator)
                times = generator.integers(1, plan.bridge_steps + 1, plan.batch_size)
                marginals = np.array([measure_marginal(int(time), plan) for time in times])
                shares, variances = torch.from_numpy(marginals.astype(np.float32)).T
                share, variance = (x.reshape(-1, 1, 1, 1) for x in (shares, variances))
                noise = variance.sqrt() * torch.randn_like(original)
                place = (1 - share) * original + share * start + noise
                loss = functional.mse_loss(network(place, start, share), original)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                if number % max(1, plan.steps // _REPORTS) == 0:
                    curve.append({"step": number, "loss": fmean(losses)})
                    losses = []
    finally:
        torch.set_num_threads(threads)
    return network.eval(), curve


def draw_image(
    network: BridgeNetwork, decoded: npt.NDArray[np.uint8], plan: BridgePlan, seed: int
) -> npt.NDArray[np.uint8]:
    """Walk the bridge from a decoded image to one drawn original.

    Parameters
    ----------
    network : BridgeNetwork
    decoded : (M, N) uint8 array
    plan : BridgePlan
    seed : int
        With the image's own levels it decides the noise.

    Returns
    -------
    (M, N) uint8 array

    Notes
    -----
    Floating point: the same pixels on one machine with one version of torch and one thread,
    which is why no file format of this project names a bridge as its decoder.
    """
    start = _scale(decoded)[None, None]
    entropy = [seed, *np.frombuffer(decoded.tobytes()[: decoded.size // 4 * 4], np.uint32)]
    generator = np.random.default_rng(np.array(entropy, np.uint32))
    place = start
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            for step in range(plan.bridge_steps, 0, -1):
                share = torch.full((1, 1, 1, 1), measure_marginal(step, plan)[0])
                guess = network(place, start, share)
                of_place, of_original, of_start, variance = measure_posterior(step, plan)
                noise = torch.from_numpy(
                    generator.standard_normal(decoded.shape, np.float32) * np.sqrt(variance)
                ).float()
                place = of_place * place + of_original * guess + of_start * start + noise
    finally:
        torch.set_num_threads(threads)
    levels = (place[0, 0].numpy() + np.float32(0.5)) * 255
    drawn: npt.NDArray[np.uint8] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return drawn


def save_bridge(network: BridgeNetwork, training: dict[str, Any], path: Path) -> None:
    """Write a bridge and what decided it as a NumPy archive, whole or not at all."""
    header = canonical_json({"format": FORMAT, "training": training})
    arrays = {HEADER: np.frombuffer(header.encode(), np.uint8)}
    arrays |= {name: value.numpy() for name, value in network.state_dict().items()}
    write_arrays(path, arrays)


def load_bridge(path: Path) -> tuple[BridgeNetwork, dict[str, Any]]:
    """Read a bridge's file; it runs no code, for no pickle is involved.

    Parameters
    ----------
    path : Path

    Returns
    -------
    network : BridgeNetwork
    training : dict
        As `save_bridge` was given it.

    Raises
    ------
    StudyError
        It is no bridge of this version, whole.
    """
    repair = "remove it, and codec bridge trains another"
    arrays = read_arrays(path, "bridge", repair)
    network = BridgeNetwork()
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    try:
        header = json.loads(arrays.pop(HEADER).tobytes())
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}, expected {FORMAT!r}")
        if {name: value.shape for name, value in arrays.items()} != expected:
            raise ValueError("its arrays are not the network's")
        if not all(v.dtype == np.float32 and np.isfinite(v).all() for v in arrays.values()):
            raise ValueError("a weight is no number of 32 bits")
        training = dict(header["training"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise StudyError(f"{path} is no bridge of this version: {error}; {repair}") from None
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return network.eval(), training


@dataclass(frozen=True)
class BridgeReport:
    """What `make_bridge_study` did.

    Attributes
    ----------
    study : Path
        The study file.
    is_trained : bool
        False where the bridge that was there is kept.
    """

    study: Path
    is_trained: bool


def make_bridge_study(
    source: str | Path,
    test: str | Path,
    weights: Path,
    folder: Path,
    plan: BridgePlan,
    draws: int,
    progress: Callable[..., None] | None = None,
) -> BridgeReport:
    """Train a bridge after a codec, draw every test image, and write a study of the results.

    Parameters
    ----------
    source, test : str or Path
        Study files or folders: images to learn from, and others.
    weights : Path
        A codec; its images without a residual are where the bridge starts.
    folder : Path
        Receives ``bridge.npz``, ``bridge_curve.csv``, ``streams/``, ``restored/``,
        ``bridge_runs.csv`` (a row per model and image, with `RUN_COLUMNS`) and ``study.toml``.
    plan : BridgePlan
    draws : int
        How many images are drawn of each; what two of them do not share, the file did not hold.
    progress : callable, optional

    Returns
    -------
    BridgeReport
        Its study has ``net`` (the decoded image, its baseline), ``bridge_d0``, ``bridge_d1``, ...

    Raises
    ------
    StudyError
        The codec is of colour, an image is on both sides or too small, the folder has a study of
        another origin, or its ``bridge.npz`` is no bridge.

    Notes
    -----
    Run again, it keeps a bridge that was trained so, and decodes and draws every file anew: its
    hashes say whether another process makes the same pixels.

    If a draw were from what the original may be, given the file, then original and draw could
    change places: `mse_dn2` and `next_draw_mse_dn2` would have one mean. `latent_kept_ratio` is
    the share of the file's latent values that coding the image again gives: of what was coded
    all, so that an image with fewer is not what was coded. [OWN]
    """
    codec = load_codec(weights)
    if codec.design.planes != 1:
        raise StudyError(f"{weights} codes colour; name a codec of one plane as --weights")
    images, tested = read_images(source), read_images(test)
    both = {image.sha256 for image in images} & {image.sha256 for image in tested}
    if both:
        raise StudyError(
            f"{len(both)} images of {test} are also in {source}, which is learned from; take them"
            " out of one of the two"
        )
    for image in images:
        if min(image.grey.shape) < plan.crop_px:
            raise StudyError(f"{image.image_id}: expected sides of {plan.crop_px} px or more")
    with locked(folder, "codec bridge", setting="--out"):
        path = folder / "study.toml"
        audit.check_own(path)
        network, is_trained = _train_or_keep(codec, images, folder, plan)
        models = ["net", *(f"bridge_d{draw}" for draw in range(draws))]
        for model in models:
            (folder / "restored" / model).mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, Any]] = []
        for done, image in enumerate(tested, start=1):
            rows += _restore_image(codec, network, image, models, folder, plan)
            if progress is not None:
                progress(done, len(tested), image.image_id)
        write_rows(folder / "bridge_runs.csv", RUN_COLUMNS, rows)
        write_text(path, audit.format_study(folder, find_folder(test), models, "net"))
    return BridgeReport(path, is_trained)


def _train_or_keep(
    codec: Codec, images: Sequence[GreyImage], folder: Path, plan: BridgePlan
) -> tuple[BridgeNetwork, bool]:
    """Train a bridge, or keep the one that is there and was trained so; and whether it trained."""
    training = {
        "plan": asdict(plan),
        "codec": codec.sha256.hex(),
        "images": {image.image_id: image.sha256 for image in images},
        "torch": torch.__version__,
    }
    path = folder / "bridge.npz"
    if path.is_file():
        network, found = load_bridge(path)
        if found == training:
            return network, False
    pairs = []
    for image in images:
        decoded = ImageCoder(codec, image.grey).code(audit.NETWORK_STEP, None).pixels
        pairs.append((image.grey, decoded))
    network, curve = train_bridge(pairs, plan)
    write_rows(folder / "bridge_curve.csv", CURVE_COLUMNS, curve)
    save_bridge(network, training, path)
    return network, True


def _restore_image(
    codec: Codec,
    network: BridgeNetwork,
    image: GreyImage,
    models: Sequence[str],
    folder: Path,
    plan: BridgePlan,
) -> list[dict[str, Any]]:
    """Code an image, write what is decoded and drawn of it, and give each one's row.

    The first of `models` is the decoded image, each other a draw.
    """
    coded = ImageCoder(codec, image.grey).code(audit.NETWORK_STEP, None)
    stream = folder / "streams" / f"{image.image_id}{SUFFIX}"
    write_bytes(stream, coded.data)
    decoded = decode_stream(stream.read_bytes(), codec, str(stream))
    drawn = [draw_image(network, decoded, plan, draw) for draw in range(len(models) - 1)]
    rows = []
    for number, (model, pixels) in enumerate(zip(models, [decoded, *drawn], strict=True)):
        following = drawn[number % len(drawn)] if number and len(drawn) > 1 else None
        facts = {"model_id": model, "image_id": image.image_id}
        facts |= _measure_run(codec, image, coded, pixels, following)
        file = folder / "restored" / model / f"{image.image_id}.png"
        rows.append(facts | {"restored_sha256": write_png(file, pixels)})
    return rows


def _measure_run(
    codec: Codec,
    image: GreyImage,
    coded: CodedImage,
    pixels: npt.NDArray[np.uint8],
    following: npt.NDArray[np.uint8] | None,
) -> dict[str, Any]:
    """Measure what `RUN_COLUMNS` name of one restored image; `following` is the next draw."""
    again = ImageCoder(codec, pixels).code(audit.NETWORK_STEP, None)
    kept = read_latent(again.stream, codec) == read_latent(coded.stream, codec)
    apart = None if following is None else _measure_distance(pixels, following)
    return {
        "file_bytes": len(coded.data),
        "psnr_db": measure_quality(pixels, image.grey)[0],
        "mse_dn2": _measure_distance(pixels, image.grey),
        "next_draw_mse_dn2": apart,
        "latent_kept_ratio": float(kept.mean()),
    }


def _measure_distance(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    difference = first.astype(np.int64) - second
    return float(np.mean(difference * difference))


def _draw_pairs(
    pairs: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
    plan: BridgePlan,
    generator: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw crops (B, 1, P, P) of originals and decoded images at the same places."""
    side, crops = plan.crop_px, []
    for _ in range(plan.batch_size):
        pair = pairs[int(generator.integers(len(pairs)))]
        row, col = (int(generator.integers(length - side + 1)) for length in pair[0].shape)
        crops.append([_scale(image[row : row + side, col : col + side]) for image in pair])
    original, start = (torch.stack([crop[part] for crop in crops])[:, None] for part in (0, 1))
    return original, start


def _scale(grey: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(grey.astype(np.float32) / 255 - np.float32(0.5))
