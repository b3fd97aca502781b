"""The command that trains a reader of this project's own: reader train. Extra `readers`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from upscale_audit.ingest.files import writing
from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.wording import count_noun
from upscale_audit.warehouse.cli.options import (
    EXIT_INCOMPLETE,
    EXIT_OK,
    add_command,
    load_extra,
    read_count,
)
from upscale_audit.warehouse.cli.progress import Progress, say

if TYPE_CHECKING:
    import argparse

    from upscale_audit.reading.training_job import TrainingReport


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    summary = "train a network of this project's own to read findings in images"
    group = commands.add_parser(
        "reader", help=summary, description=summary[0].upper() + summary[1:]
    )
    parts = group.add_subparsers(metavar="COMMAND", required=True)
    train = add_command(
        parts,
        "reader train",
        _train,
        "train ChestX-ray8's network on a study's references and their labels",
        "STUDY.toml --out reader.safetensors --trunk 18 --device cuda",
    )
    train.add_argument(
        "--out", type=Path, required=True, metavar="FILE.safetensors", help="the reader to write"
    )
    _add_design(train)
    _add_course(train)


def _add_design(train: argparse.ArgumentParser) -> None:
    train.add_argument(
        "--trunk", type=int, choices=(18, 34, 50), default=18, help="layers (default: 18)"
    )
    train.add_argument(
        "--pooling",
        choices=("lse", "max", "average"),
        default="lse",
        help="of each map to one number (default: lse, log-sum-exp)",
    )
    train.add_argument(
        "--r", type=float, default=10.0, help="of lse: 0 is the average, more is the maximum"
        " (default: 10)"
    )  # fmt: skip
    train.add_argument("--input-px", type=read_count, default=224, help="side (default: 224)")
    train.add_argument(
        "--findings",
        nargs="+",
        default=[],
        metavar="FINDING",
        help="outputs (default: all that the labels name)",
    )
    train.add_argument(
        "--trunk-weights",
        type=Path,
        metavar="FILE",
        help="weights of the trunk to begin with, as torchvision publishes them",
    )


def _add_course(train: argparse.ArgumentParser) -> None:
    train.add_argument("--epochs", type=read_count, default=30, help="at most (default: 30)")
    train.add_argument(
        "--patience",
        type=int,
        default=6,
        help="epochs without a lesser validation loss that end it; 0: none does (default: 6)",
    )
    train.add_argument("--batch", type=read_count, default=16, help="images (default: 16)")
    train.add_argument("--learning-rate", type=float, default=3e-4, help="default: 0.0003")
    train.add_argument(
        "--flip", action="store_true", help="mirror images by chance; the heart lies on the left"
    )
    train.add_argument("--seed", type=int, default=0, help="deals the patients too (default: 0)")
    train.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    train.add_argument(
        "--precision",
        choices=("float32", "tf32", "bf16"),
        default="float32",
        help="the others are for GPUs: less exact, and faster (default: float32)",
    )
    train.add_argument(
        "--threads", type=read_count, default=1, help="default: 1; the weights depend on it"
    )
    train.add_argument(
        "--workers", type=read_count, help="processes that decode; no value depends on it"
    )


def _train(options: argparse.Namespace) -> int:
    study = load_study(options.study, needs_models=False)
    training = load_extra("reading.training", "readers")
    job = load_extra("reading.training_job", "readers")
    parameters = training.TrainingParameters(
        epochs=options.epochs,
        patience=options.patience,
        batch_size=options.batch,
        learning_rate=options.learning_rate,
        is_flipped=options.flip,
        precision=options.precision,
        seed=options.seed,
        threads=options.threads,
    )
    settings = job.ReaderSettings(
        trunk=options.trunk,
        pooling=options.pooling,
        r=options.r,
        input_px=options.input_px,
        findings=tuple(options.findings),
        device=options.device,
        trunk_weights=options.trunk_weights,
    )
    with Progress("reader train", "steps") as progress, writing(options.out.parent, "--out"):
        report = job.train_reader(
            study,
            options.out,
            settings,
            parameters,
            options.workers,
            lambda stage, done, total: progress(done, total, stage),
        )
    _say_report(options.out, report)
    return EXIT_INCOMPLETE if report.refused else EXIT_OK


def _say_report(out: Path, report: TrainingReport) -> None:
    if report.unlabelled:
        say(f"left out: {count_noun(report.unlabelled, 'reference')} that no label speaks of")
    for finding, why in report.left_out.items():
        say(f"left out {finding!r}: {why}")
    for name, why in list(report.refused.items())[:5]:
        say(f"not read: {name!r}, {why}")
    say(
        f"wrote {out}: {count_noun(len(report.findings), 'finding')}, epoch {report.kept_epoch} of"
        f" {report.epochs}; mean AUC {report.mean_test_auc:.3f} on"
        f" {count_noun(report.images['test'], 'test image')}, each with its interval in"
        f" {report.record[1].name}"
    )
