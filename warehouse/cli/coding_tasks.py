"""Later commands of the codecs: codec seeds, digits, tasks, bridge. Extra `codec`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.files import writing
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.cli.options import (
    EXIT_INCOMPLETE,
    EXIT_OK,
    STUDY,
    load_extra,
    read_count,
)
from upscale_audit.warehouse.cli.progress import Progress, say

if TYPE_CHECKING:
    import argparse


LOSSES = ("mse", "ssim", "mixed")
_FOLDER = ("FOLDER", "where the tables go")


def add_parts(add: Callable[..., Any], ratios: tuple[float, ...]) -> None:
    """Add the commands to the group ``codec``.

    Parameters
    ----------
    add : callable
        ``add(name, run, summary, example, argument)`` gives the parser of a new command.
    ratios : tuple of float
        Default target ratios.
    """
    _add_seeds(add, ratios)
    _add_digits(add)
    _add_bridge(add)
    summary = "compare edges, foreground and readings of restored images with the references'"
    tasks = add("tasks", _tasks, summary, "build/codecs/study.toml", STUDY)
    tasks.add_argument(
        "--out", type=Path, metavar="FOLDER", help="for the tables (default: the study's output)"
    )


def _add_seeds(add: Callable[..., Any], ratios: tuple[float, ...]) -> None:
    summary = "train with several seeds until more steps no longer help, code other images"
    example = "train/ --test test/ --out build/seeds --steps 500 --doublings 3"
    argument = ("SOURCE", "a study file, whose references are learned from, or a folder of images")
    seeds = add("seeds", _seeds, summary, example, argument)
    seeds.add_argument(
        "--test", type=Path, required=True, help="study file or folder of other images, coded"
    )
    seeds.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for all of it")
    seeds.add_argument(
        "--loss", choices=LOSSES, action="append", help="may be given again (default: all three)"
    )
    seeds.add_argument("--kind", choices=("ae", "vae"), default="ae", help="default: ae")
    seeds.add_argument("--seeds", type=read_count, default=3, help="how many (default: 3)")
    seeds.add_argument(
        "--steps", type=read_count, default=500, help="of the shortest run (default: 500)"
    )
    seeds.add_argument(
        "--doublings", type=read_count, default=3, help="longer runs, each twice (default: 3)"
    )
    seeds.add_argument("--batch", type=read_count, default=4, help="crops (default: 4)")
    seeds.add_argument("--crop", type=read_count, default=96, help="px, default: 96")
    listed = ", ".join(f"{ratio:g}" for ratio in ratios)
    seeds.add_argument(
        "--ratio", type=float, action="append", help=f"may be given again (default: {listed})"
    )
    seeds.set_defaults(default_ratios=ratios)


def _add_bridge(add: Callable[..., Any]) -> None:
    summary = "train a Brownian bridge after a codec, draw other images, write a study of them"
    example = "train/ --test test/ --weights build/ae_mse.npz --out build/bridge"
    argument = ("SOURCE", "a study file, whose references are learned from, or a folder of images")
    bridge = add("bridge", _bridge, summary, example, argument)
    bridge.add_argument("--test", type=Path, required=True, help="study file or folder to draw")
    bridge.add_argument(
        "--weights", type=Path, required=True, metavar="FILE.npz", help="of codec train or seeds"
    )
    bridge.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for all of it")
    bridge.add_argument("--draws", type=read_count, default=2, help="of each image (default: 2)")
    bridge.add_argument("--bridge-steps", type=read_count, default=20, help="default: 20")
    bridge.add_argument("--noise", type=float, default=0.005, help="s (default: 0.005)")
    bridge.add_argument("--steps", type=read_count, default=1000, help="batches (default: 1000)")
    bridge.add_argument("--seed", type=int, default=0, help="of the training (default: 0)")


def _add_digits(add: Callable[..., Any]) -> None:
    summary = "compare VAE, autoencoder and PCA on scikit-learn's digits"
    digits = add("digits", _digits, summary, "build/digits", _FOLDER)
    digits.add_argument(
        "--latent", type=read_count, action="append", help="sizes (default: 2, 4, 8, 16)"
    )
    digits.add_argument(
        "--beta", type=float, action="append", help="the divergence's weights (0.1, 1, 4)"
    )
    digits.add_argument("--seeds", type=read_count, default=5, help="how many (default: 5)")
    digits.add_argument("--steps", type=read_count, default=2000, help="batches (default: 2000)")


def _seeds(options: argparse.Namespace) -> int:
    module = load_extra("restore.codec.seeds", "codec")
    training = load_extra("restore.codec.training", "codec")
    plan = module.SeedPlan(
        tuple((options.kind, loss) for loss in options.loss or LOSSES),
        tuple(range(options.seeds)),
        tuple(options.steps * 2**number for number in range(options.doublings + 1)),
        training.TrainingParameters(batch_size=options.batch, crop_px=options.crop),
    )
    ratios = tuple(options.ratio or options.default_ratios)
    with Progress("codec seeds", "runs") as progress, writing(options.out, "--out"):
        report = module.make_seed_study(
            options.study, options.test, options.out, plan, ratios, progress
        )
    for row in report.flatness:
        verdict = "flat" if row["is_flat"] else "not flat"
        say(
            f"{row['codec']}: {row['doubled_steps']} steps lower the held-out loss of"
            f" {row['steps']} by {row['gain_pct']:.2f} %: {verdict}"
        )
    for line in report.codings.unreached:
        say(f"not coded: {line}")
    say(f"audit them: upscale-audit run {report.study}")
    return EXIT_INCOMPLETE if report.codings.unreached else EXIT_OK


def _digits(options: argparse.Namespace) -> int:
    module = load_extra("restore.codec.digits", "codec")
    plan = module.DigitPlan(
        latents=tuple(options.latent or (2, 4, 8, 16)),
        betas=tuple(options.beta or (0.1, 1.0, 4.0)),
        seeds=tuple(range(options.seeds)),
        steps=options.steps,
    )
    with Progress("codec digits", "networks") as progress, writing(options.study, "FOLDER"):
        table = module.compare_digits(options.study, plan, progress)
    say(f"wrote {options.study / 'digits.csv'}: {len(table)} rows; digit_runs.csv has every seed")
    return EXIT_OK


def _tasks(options: argparse.Namespace) -> int:
    module = load_extra("restore.codec.tasks", "codec")
    study = load_study(options.study)
    folder = options.out or study.output
    with Progress("codec tasks", "models") as progress, writing(folder, "--out"):
        table = module.measure_tasks(study, folder, progress)
    say(f"wrote {folder / 'tasks.csv'}: {len(table)} rows; task_runs.csv has every image")
    return EXIT_OK


def _bridge(options: argparse.Namespace) -> int:
    module = load_extra("restore.codec.bridge", "codec")
    plan = module.BridgePlan(
        bridge_steps=options.bridge_steps,
        noise_share=options.noise,
        steps=options.steps,
        seed=options.seed,
    )
    with Progress("codec bridge", "images") as progress, writing(options.out, "--out"):
        report = module.make_bridge_study(
            options.study,
            options.test,
            options.weights,
            options.out,
            plan,
            options.draws,
            progress,
        )
    done = "trained" if report.is_trained else "kept"
    say(f"{done} {options.out / 'bridge.npz'}; bridge_runs.csv has every image")
    say(f"audit them: upscale-audit run {report.study}")
    return EXIT_OK
