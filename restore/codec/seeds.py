"""Training until more of it no longer helps: every loss, several seeds, steps doubled each time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import locked, write_text
from upscale_audit.restore.codec import audit
from upscale_audit.restore.codec.images import find_folder, read_images
from upscale_audit.restore.codec.intervals import bound_mean
from upscale_audit.restore.codec.jobs import write_rows
from upscale_audit.restore.codec.models import load_codec, save_codec
from upscale_audit.restore.codec.networks import CodecDesign
from upscale_audit.restore.codec.training import (
    CURVE_COLUMNS,
    TrainingParameters,
    describe_training,
    train_codec,
    write_curve,
)

if TYPE_CHECKING:
    from upscale_audit.restore.codec.audit import StudyReport
    from upscale_audit.restore.codec.images import GreyImage
    from upscale_audit.restore.codec.models import Codec


FLAT_PCT = 2.0
"""Training is flat where doubling its steps lowers the held-out loss by less than this. [OWN]"""
HELD_OUT_EVERY = 8
"""Every eighth training image, by name, is not learned from: the curves are judged on it."""
_REPORTS = 10
RUN_COLUMNS = ("codec", "kind", "loss", "seed", "steps", *CURVE_COLUMNS)
FLAT_COLUMNS = (
    "codec",
    "steps",
    "doubled_steps",
    "seed_count",
    "held_out_loss",
    "doubled_held_out_loss",
    "gain_pct",
    "gain_low_pct",
    "gain_high_pct",
    "is_flat",
)


@dataclass(frozen=True)
class SeedPlan:
    """What is trained.

    Attributes
    ----------
    variants : tuple of (str, str)
        Kinds and losses.
    seeds : tuple of int
        Each once.
    budgets : tuple of int
        Steps of the first run and of the ones after it, each twice the one before.
    parameters : restore.codec.training.TrainingParameters
        Of every run, save its seed and steps.

    Raises
    ------
    StudyError
        Nothing is planned, a seed is there twice, or a budget is not twice the one before.
    """

    variants: tuple[tuple[str, str], ...]
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    parameters: TrainingParameters

    def __post_init__(self) -> None:
        if not (self.variants and self.seeds and self.budgets):
            raise StudyError("expected at least one loss, one seed and one number of steps")
        for name, values in (("--seed", self.seeds), ("--loss", self.variants)):
            if len(set(values)) < len(values):
                raise StudyError(f"{name}: expected each once, found {values}")
        for first, second in zip(self.budgets, self.budgets[1:], strict=False):
            if second != 2 * first:
                raise StudyError(
                    f"steps {second} after {first}; expected twice as many, so that one rule"
                    " says when a curve is flat"
                )


def train_seeds(
    images: Sequence[GreyImage],
    plan: SeedPlan,
    folder: Path,
    progress: Callable[..., None] | None = None,
) -> tuple[dict[tuple[str, str, int], Codec], list[dict[str, Any]]]:
    """Train every variant with every seed at every number of steps.

    Parameters
    ----------
    images : list of restore.codec.images.GreyImage
        `HELD_OUT_EVERY`-th ones are not learned from.
    plan : SeedPlan
    folder : Path
        Receives ``weights/``; a codec that is there and was trained so is kept.
    progress : callable, optional
        Called as ``progress(done, total, name)`` after a run.

    Returns
    -------
    codecs : dict
        Of the most steps, by kind, loss and seed.
    rows : list of dict
        Every run's curve, with `RUN_COLUMNS`.

    Raises
    ------
    StudyError
        There are fewer than two images.

    Notes
    -----
    The learning rate falls to nothing over the steps of a run (a cosine), so that every curve
    ends level whether or not it has learned all it can: a slope at the end says nothing. What
    says it is a second run of twice the steps. The short runs come first, so that whoever stops
    here has all of them.
    """
    held_out = list(images[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]) or list(images[-1:])
    kept = [image for image in images if image not in held_out]
    if not kept:
        raise StudyError(f"expected two training images or more, found {len(images)}")
    jobs = [
        (steps, variant, seed)
        for steps in plan.budgets
        for seed in plan.seeds
        for variant in plan.variants
    ]
    codecs, rows = {}, []
    for done, (steps, variant, seed) in enumerate(jobs, start=1):
        name = f"{'_'.join(variant)}_s{seed}_t{steps}"
        parameters = replace(
            plan.parameters, steps=steps, seed=seed, report_steps=max(1, steps // _REPORTS)
        )
        path = folder / "weights" / f"{name}.npz"
        codec, curve = _train_or_keep(CodecDesign(*variant), kept, held_out, parameters, path)
        codecs[(*variant, seed)] = codec
        facts: dict[str, Any] = {"codec": "_".join(variant), "seed": seed, "steps": steps}
        facts |= {"kind": variant[0], "loss": variant[1]}
        rows += [facts | row for row in curve]
        if progress is not None:
            progress(done, len(jobs), name)
    return codecs, rows


def _train_or_keep(
    design: CodecDesign,
    kept: Sequence[GreyImage],
    held_out: Sequence[GreyImage],
    parameters: TrainingParameters,
    path: Path,
) -> tuple[Codec, list[dict[str, Any]]]:
    curve_file = path.with_suffix(".csv")
    wanted = json.loads(json.dumps(describe_training(kept, held_out, parameters)))
    if path.is_file() and curve_file.is_file():
        codec = load_codec(path)
        if (codec.design, codec.training) == (design, wanted):
            return codec, _read_curve(curve_file)
    codec, curve = train_codec(design, kept, held_out, parameters)
    # The weights last: a curve without them is trained again.
    path.unlink(missing_ok=True)
    write_curve(curve, curve_file)
    save_codec(codec, path)
    return codec, curve


def _read_curve(path: Path) -> list[dict[str, Any]]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    read: list[dict[str, Any]] = []
    for row in rows:
        values: dict[str, Any] = {name: float(text) if text else None for name, text in row.items()}
        read.append(values | {"step": int(row["step"])})
    return read


def judge_flatness(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say at which number of steps training is flat.

    Parameters
    ----------
    rows : list of dict
        Of `train_seeds`.

    Returns
    -------
    list of dict
        A row per codec and doubling, with `FLAT_COLUMNS`: how much lower the held-out loss at
        the end of the longer run is, in per cent of the shorter one's, mean over the seeds with
        its 95 % interval over them. `is_flat` where that mean is below `FLAT_PCT`.
    """
    ends: dict[str, dict[int, dict[int, float]]] = {}
    for row in rows:
        if row["step"] == row["steps"]:
            runs = ends.setdefault(row["codec"], {}).setdefault(row["steps"], {})
            runs[row["seed"]] = row["held_out_loss"]
    found = []
    for codec, by_steps in ends.items():
        for steps, runs in sorted(by_steps.items()):
            longer = by_steps.get(2 * steps, {})
            seeds = sorted(set(runs) & set(longer))
            if not seeds:
                continue
            gains = [100 * (1 - longer[seed] / runs[seed]) for seed in seeds]
            gain, low, high = bound_mean(gains)
            found.append(
                {
                    "codec": codec,
                    "steps": steps,
                    "doubled_steps": 2 * steps,
                    "seed_count": len(seeds),
                    "held_out_loss": mean(runs[seed] for seed in seeds),
                    "doubled_held_out_loss": mean(longer[seed] for seed in seeds),
                    "gain_pct": gain,
                    "gain_low_pct": low,
                    "gain_high_pct": high,
                    "is_flat": gain < FLAT_PCT,
                }
            )
    return found


@dataclass
class SeedReport:
    """What `make_seed_study` did.

    Attributes
    ----------
    study : Path
        The study file.
    codings : restore.codec.audit.StudyReport
        Images coded, kept and out of reach.
    flatness : list of dict
        With `FLAT_COLUMNS`.
    """

    study: Path
    codings: StudyReport
    flatness: list[dict[str, Any]]


def make_seed_study(
    source: str | Path,
    test: str | Path,
    folder: Path,
    plan: SeedPlan,
    ratios: Sequence[float],
    progress: Callable[..., None] | None = None,
) -> SeedReport:
    """Train with several seeds on one folder, code another, and write a study of the results.

    Parameters
    ----------
    source, test : str or Path
        Study files or folders of images; no image is in both.
    folder : Path
        Receives ``weights/``, ``streams/``, ``restored/``, ``seed_curves.csv``,
        ``seed_flatness.csv``, ``codes.csv`` and ``study.toml``.
    plan : SeedPlan
    ratios : sequence of float
    progress : callable, optional
        Called as ``progress(done, total, name)`` after a run and after an image.

    Returns
    -------
    SeedReport

    Raises
    ------
    StudyError
        A ratio is not above 0 or given twice, an image is on both sides, another process writes
        here, or the folder has a ``study.toml`` of another origin.

    Notes
    -----
    A model is a codec of the most steps without a residual (``ae_mse_s1_net``), with every seed,
    or filled up to a ratio (``ae_mse_s0_r25``), with the first seed: the search for a size takes
    ten times as long as all else. zfp alone at each ratio stands beside them.
    """
    audit.check_ratios(ratios)
    images, tested = read_images(source), read_images(test)
    learned = {image.sha256: image.image_id for image in images}
    for image in tested:
        if image.sha256 in learned:
            raise StudyError(
                f"{image.image_id} of {test} is {learned[image.sha256]} of {source}, which is"
                " learned from; take it out of one of them"
            )
    with locked(folder, "codec seeds", setting="--out"):
        codings = audit.StudyReport(folder / "study.toml")
        audit.check_own(codings.study)
        codecs, rows = train_seeds(images, plan, folder, progress)
        flatness = judge_flatness(rows)
        write_rows(folder / "seed_curves.csv", RUN_COLUMNS, rows)
        write_rows(folder / "seed_flatness.csv", FLAT_COLUMNS, flatness)
        models = _code_all(tested, codecs, folder, ratios, codings, progress)
        baseline = f"{audit.ZFP_ALONE}_r{ratios[0]:g}"
        text = audit.format_study(folder, find_folder(test), models, baseline)
        write_text(codings.study, text)
    return SeedReport(codings.study, codings, flatness)


def _code_all(
    images: Sequence[GreyImage],
    codecs: dict[tuple[str, str, int], Codec],
    folder: Path,
    ratios: Sequence[float],
    report: StudyReport,
    progress: Callable[..., None] | None,
) -> list[str]:
    """Code every image with every codec and zfp alone; gives the names of the models."""
    first = next(iter(codecs))[2]
    coders: list[tuple[str, Codec | None, bool]] = [
        (f"{kind}_{loss}_s{seed}", codec, seed == first)
        for (kind, loss, seed), codec in codecs.items()
    ]
    coders.append((audit.ZFP_ALONE, None, True))
    known = audit.read_known(folder / "codes.csv")
    rows: list[dict[str, Any]] = []
    models: list[str] = []
    for name, codec, is_filled in coders:
        made = [audit.CodedModel(f"{name}_r{ratio:g}", name, ratio) for ratio in ratios]
        made = made if is_filled else []
        made += [] if codec is None else [audit.CodedModel(f"{name}_net", name, None)]
        models += [model.model_id for model in made]
        for done, image in enumerate(images, start=1):
            rows += audit.code_image(image, codec, len(images), made, folder, known, report)
            if progress is not None:
                progress(done, len(images), f"{name} {image.image_id}")
        # Rows so far, so that a run stopped here keeps them.
        write_rows(folder / "codes.csv", audit.STUDY_COLUMNS, audit.merge_rows(rows, known))
    write_rows(folder / "codes.csv", audit.STUDY_COLUMNS, rows)
    return models
