"""A VAE against an autoencoder and PCA on scikit-learn's digits: what is rebuilt, what is used."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn import datasets
from torch import nn

from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.codec.intervals import bound_mean
from upscale_audit.restore.codec.jobs import write_rows

if TYPE_CHECKING:
    import numpy.typing as npt


ACTIVE_VARIANCE = 0.01
"""A latent unit is active where its posterior mean varies by more than this over the images."""
LARGEST_LEVEL = 16
"""Of the digits: 8x8 px with levels 0..16."""
TEST_EVERY = 4
_HIDDEN = 64
RUN_COLUMNS = (
    "model",
    "beta",
    "latent_count",
    "seed",
    "train_count",
    "test_count",
    "test_rmse_level",
    "active_count",
    "divergence_nats",
    "divergences_nats",
)
TABLE_COLUMNS = (
    "model",
    "beta",
    "latent_count",
    "seed_count",
    "test_rmse_level",
    "rmse_low_level",
    "rmse_high_level",
    "rmse_less_pca_level",
    "less_pca_low_level",
    "less_pca_high_level",
    "active_count",
    "active_low_count",
    "active_high_count",
    "divergence_nats",
)


@dataclass(frozen=True)
class DigitPlan:
    """What is compared.

    Attributes
    ----------
    latents : tuple of int
        Latent sizes, 1 to 64.
    betas : tuple of float
        Weights of the divergence, each above 0; an autoencoder is trained beside them.
    seeds : tuple of int
        Of weights, batches and the VAE's noise. The split is the same for all.
    steps, batch_size : int
    learning_rate : float
    """

    latents: tuple[int, ...] = (2, 4, 8, 16)
    betas: tuple[float, ...] = (0.1, 1.0, 4.0)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    steps: int = 3000
    batch_size: int = 64
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        if not self.latents or not all(1 <= count <= 64 for count in self.latents):
            raise StudyError(f"--latent {self.latents}; expected sizes from 1 to 64")
        if not all(0 < beta < float("inf") for beta in self.betas):
            raise StudyError(f"--beta {self.betas}; expected numbers above 0")
        if not self.seeds or self.steps < 1 or self.batch_size < 1:
            raise StudyError("expected at least one seed, one step and one image a batch")
        for name in ("latents", "betas", "seeds"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise StudyError(f"{name}: expected each once, found {getattr(self, name)}")


class DigitNetwork(nn.Module):
    """A perceptron of one hidden layer to the latent and one back.

    Parameters
    ----------
    pixel_count, latent_count : int
    is_variational : bool
        The latent is a normal of diagonal covariance, else a number.
    """

    def __init__(self, pixel_count: int, latent_count: int, *, is_variational: bool) -> None:
        super().__init__()
        self.is_variational = is_variational
        outputs = latent_count * (2 if is_variational else 1)
        self.encoder = nn.Sequential(
            nn.Linear(pixel_count, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, outputs)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_count, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, pixel_count)
        )

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Mean (B, C) and log variance (B, C) of the latent; None for an autoencoder."""
        latent = self.encoder(images)
        if not self.is_variational:
            return latent, None
        centre, log_variance = latent.chunk(2, dim=1)
        return centre, log_variance


def load_digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Load scikit-learn's digits, levels 0..16, as training and test rows of 64 pixels.

    Returns
    -------
    train, test : (N, 64) float32 array
        Every `TEST_EVERY`-th image is a test image. The set does not say who wrote which, so that
        one hand may be on both sides.
    """
    images = datasets.load_digits().data.astype(np.float32)
    is_test = np.arange(len(images)) % TEST_EVERY == 0
    return images[~is_test], images[is_test]


def compare_digits(
    folder: Path, plan: DigitPlan, progress: Callable[..., None] | None = None
) -> list[dict[str, Any]]:
    """Train every network on the digits and write ``digit_runs.csv`` and ``digits.csv``.

    Parameters
    ----------
    folder : Path
    plan : DigitPlan
    progress : callable, optional
        Called as ``progress(done, total, name)`` after a network.

    Returns
    -------
    list of dict
        Rows of ``digits.csv``, with `TABLE_COLUMNS`.
    """
    train, test = load_digits()
    rows = run_digits(train, test, plan, progress)
    table = summarise_digits(rows)
    write_rows(folder / "digit_runs.csv", RUN_COLUMNS, rows)
    write_rows(folder / "digits.csv", TABLE_COLUMNS, table)
    return table


def run_digits(
    train: npt.NDArray[np.float32],
    test: npt.NDArray[np.float32],
    plan: DigitPlan,
    progress: Callable[..., None] | None = None,
) -> list[dict[str, Any]]:
    """Rebuild test images by PCA, autoencoders and VAEs.

    Parameters
    ----------
    train, test : (N, P) float32 array
        Levels 0..16.
    plan : DigitPlan
    progress : callable, optional

    Returns
    -------
    list of dict
        A row per model, beta, latent size and seed, with `RUN_COLUMNS`; PCA has no seed.
    """
    kinds: list[float | None] = [None, *plan.betas]
    jobs = list(itertools.product(plan.latents, kinds, plan.seeds))
    rows: list[dict[str, Any]] = []
    for latent_count in plan.latents:
        restored, codes = project_pca(train, test, latent_count)
        facts: dict[str, Any] = {"model": "pca", "latent_count": latent_count}
        facts |= {"beta": None, "seed": None}
        rows.append(facts | _judge(train, test, restored, codes, None))
    for done, (latent_count, beta, seed) in enumerate(jobs, start=1):
        model = "ae" if beta is None else "vae"
        network = train_digits(train, latent_count, beta, seed, plan)
        with torch.no_grad():
            centre, log_variance = network.encode(_scale(test))
            restored = (network.decoder(centre).numpy() + 0.5) * LARGEST_LEVEL
        divergences = None
        if log_variance is not None:
            divergences = measure_divergences(centre, log_variance).numpy()
        facts = {"model": model, "beta": beta, "latent_count": latent_count, "seed": seed}
        rows.append(facts | _judge(train, test, restored, centre.numpy(), divergences))
        if progress is not None:
            progress(done, len(jobs), f"{model} {latent_count}")
    return rows


def project_pca(
    train: npt.NDArray[np.float32], test: npt.NDArray[np.float32], count: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rebuild test images from the first principal components of the training images.

    Returns
    -------
    restored : (N, P) float64 array
    codes : (N, count) float64 array
    """
    centre = train.mean(axis=0, dtype=np.float64)
    _, _, axes = np.linalg.svd(train - centre, full_matrices=False)
    codes = (test - centre) @ axes[:count].T
    return codes @ axes[:count] + centre, codes


def train_digits(
    train: npt.NDArray[np.float32],
    latent_count: int,
    beta: float | None,
    seed: int,
    plan: DigitPlan,
) -> DigitNetwork:
    """Train one network, an autoencoder where beta is None.

    Raises
    ------
    StudyError
        All training images are equal.

    Notes
    -----
    Loss: half the squared error summed over the pixels, over the mean variance of a pixel, which
    is a normal's negative log likelihood up to a constant; and beta times the divergence in nats
    (Higgins et al. 2017). The mean is taken over the batch. One thread; the same seed gives the
    same weights on one machine with one version of torch.

    References
    ----------
    Higgins, I. et al. (2017). beta-VAE: learning basic visual concepts with a constrained
    variational framework. ICLR. https://openreview.net/forum?id=Sy2fzU9gl
    """
    images = _scale(train)
    variance = float(images.var(dim=0, unbiased=False).mean())
    if variance == 0:
        raise StudyError("all training images are equal; expected images that differ")
    generator = np.random.default_rng(seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = DigitNetwork(images.shape[1], latent_count, is_variational=beta is not None)
            optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
            for _ in range(plan.steps):
                batch = images[generator.integers(len(images), size=plan.batch_size)]
                centre, log_variance = network.encode(batch)
                latent, penalty = centre, torch.zeros(())
                if beta is not None and log_variance is not None:
                    latent = centre + torch.exp(log_variance / 2) * torch.randn_like(centre)
                    penalty = beta * measure_divergences(centre, log_variance).sum()
                errors = (network.decoder(latent) - batch) ** 2
                loss = errors.sum(dim=1).mean() / (2 * variance) + penalty
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    finally:
        torch.set_num_threads(threads)
    return network


def measure_divergences(centre: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Divergence of each latent unit from the standard normal, nats, (C,), mean over the batch."""
    terms = 0.5 * (centre**2 + log_variance.exp() - 1 - log_variance)
    return terms.mean(dim=0)


def count_active(codes: npt.NDArray[Any]) -> int:
    """Count the latent units in use.

    Parameters
    ----------
    codes : (N, C) array
        Posterior means of N images.

    Returns
    -------
    int
        Units whose mean varies by more than `ACTIVE_VARIANCE` over the images.

    References
    ----------
    Burda, Y., Grosse, R. & Salakhutdinov, R. (2016). Importance weighted autoencoders, section 5.2.
    ICLR. https://arxiv.org/abs/1509.00519
    """
    return int(np.count_nonzero(codes.var(axis=0, dtype=np.float64) > ACTIVE_VARIANCE))


def summarise_digits(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over the seeds with 95 % intervals over them, beside PCA of the same size.

    Parameters
    ----------
    rows : list of dict
        Of `run_digits`.

    Returns
    -------
    list of dict
        With `TABLE_COLUMNS`; an interval is None with fewer than two seeds.
    """
    pca = {r["latent_count"]: r["test_rmse_level"] for r in rows if r["model"] == "pca"}
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["beta"], row["latent_count"]), []).append(row)
    table = []
    for (model, beta, count), runs in groups.items():
        errors = [run["test_rmse_level"] for run in runs]
        actives = [run["active_count"] for run in runs]
        centre, low, high = bound_mean(errors)
        known = [run["divergence_nats"] for run in runs if run["divergence_nats"] is not None]
        is_pca = model == "pca"
        table.append(
            {
                "model": model,
                "beta": beta,
                "latent_count": count,
                "seed_count": 0 if is_pca else len(runs),
                "test_rmse_level": centre,
                "rmse_low_level": low,
                "rmse_high_level": high,
                "rmse_less_pca_level": None if is_pca else centre - pca[count],
                "less_pca_low_level": None if low is None else low - pca[count],
                "less_pca_high_level": None if high is None else high - pca[count],
                "active_count": mean(actives),
                "active_low_count": min(actives),
                "active_high_count": max(actives),
                "divergence_nats": mean(known) if known else None,
            }
        )
    return table


def _judge(
    train: npt.NDArray[Any],
    test: npt.NDArray[Any],
    restored: npt.NDArray[Any],
    codes: npt.NDArray[Any],
    divergences: npt.NDArray[Any] | None,
) -> dict[str, Any]:
    errors = (restored.astype(np.float64) - test) ** 2
    spelt = None if divergences is None else " ".join(f"{value:.4f}" for value in divergences)
    return {
        "train_count": len(train),
        "test_count": len(test),
        "test_rmse_level": float(np.sqrt(errors.mean())),
        "active_count": count_active(codes),
        "divergence_nats": None if divergences is None else float(divergences.sum()),
        "divergences_nats": spelt,
    }


def _scale(images: npt.NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(images / np.float32(LARGEST_LEVEL) - np.float32(0.5))
