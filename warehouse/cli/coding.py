"""Commands of the learned codecs: codec train, encode, decode, study, figure. Extra `codec`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import writing
from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.wording import count_noun
from upscale_audit.warehouse.cli import coding_tasks
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

    from upscale_audit.restore.codec.coding import CodedImage, ImageCoder
    from upscale_audit.restore.codec.training import TrainingParameters


KINDS, LOSSES = ("ae", "vae"), ("mse", "ssim", "mixed")
DEFAULT_RATIOS = (10.0, 25.0, 60.0, 97.0, 122.0)
PROGRAMMES = {
    "losses": DEFAULT_RATIOS,
    "architecture": (10.0, 13.0, 25.0, 60.0, 97.0, 122.0),
    "learning": (),
    "colour": (25.0, 97.0),
}
"""What codec study compares, with the ratios it codes to."""
_SOURCE = ("SOURCE", "a study file, whose references are read, or a folder of images")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser."""
    summary = "train learned codecs, code images to a stated ratio, decode and audit them"
    group = commands.add_parser("codec", help=summary, description=summary[0].upper() + summary[1:])
    parts = group.add_subparsers(metavar="COMMAND", required=True)

    def add_part(
        name: str,
        run: Callable[..., Any],
        text: str,
        example: str,
        argument: tuple[str, str] = _SOURCE,
    ) -> argparse.ArgumentParser:
        return add_command(parts, f"codec {name}", run, text, example, argument)

    _add_train(add_part)
    _add_encode(add_part)
    _add_decode(add_part)
    _add_study(add_part)
    coding_tasks.add_parts(add_part, DEFAULT_RATIOS)
    add_part(
        "figure",
        _figure,
        "draw what the audit of a codec study says",
        "build/codecs/study.toml",
        ("STUDY.toml", "the study that codec study wrote, built by upscale-audit run"),
    )


def _add_train(add: Callable[..., Any]) -> None:
    example = "sample/study.toml --kind ae --loss ssim --out build/ae_ssim.npz"
    train = add("train", _train, "train a codec on the images, in minutes", example)
    train.add_argument("--kind", choices=KINDS, required=True, help="autoencoder or variational")
    train.add_argument("--loss", choices=LOSSES, required=True, help="what it is trained for")
    train.add_argument(
        "--out", type=Path, required=True, metavar="FILE.npz", help="the weights to write"
    )
    train.add_argument("--planes", type=int, choices=(1, 3), default=1, help="3: colour")
    train.add_argument(
        "--strides",
        type=_read_strides,
        default=(),
        metavar="4,4",
        help="of the encoder's convolutions, 2 or 4, with the product 16 (default: 2,2,2,2)",
    )
    train.add_argument(
        "--residual-blocks", type=int, default=0, help="after each of them (default: 0)"
    )
    train.add_argument(
        "--hold-out",
        metavar="PATTERN",
        action="append",
        default=[],
        help="images, as 'rg1_*c1', not to train on; the curve shows them; may be given again",
    )
    _add_training_options(train)


def _read_strides(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _add_training_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--steps", type=read_count, default=600, help="batches (default: 600)")
    command.add_argument("--seed", type=int, default=0, help="default: 0")
    command.add_argument(
        "--threads", type=read_count, default=1, help="default: 1; the weights depend on it"
    )
    command.add_argument("--crop", type=read_count, default=96, help="px, default: 96")


def _add_encode(add: Callable[..., Any]) -> None:
    example = "sample/study.toml --weights build/ae_ssim.npz --ratio 60 --out build/coded"
    encode = add("encode", _encode, "code images as .uac files", example)
    _add_weights(encode)
    size = encode.add_mutually_exclusive_group(required=True)
    size.add_argument(
        "--ratio",
        type=float,
        help="bytes of the raw image (8 bits a pixel, one channel) over bytes of the file, to 2 %%",
    )
    size.add_argument(
        "--tolerance", type=float, help="largest error of the residual instead, in grey levels"
    )
    encode.add_argument(
        "--latent-step", type=float, default=1.0, help="with --tolerance: rounding (default: 1)"
    )
    encode.add_argument(
        "--images", metavar="PATTERN", action="append", help="only these; may be given again"
    )
    encode.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the files")


def _add_decode(add: Callable[..., Any]) -> None:
    example = "build/coded --weights build/ae_ssim.npz --out build/decoded"
    argument = ("SOURCE", "a .uac file or a folder of them")
    decode = add("decode", _decode, "decode .uac files to PNG", example, argument)
    _add_weights(decode)
    decode.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the PNGs")


def _add_weights(command: argparse.ArgumentParser) -> None:
    network = command.add_mutually_exclusive_group(required=True)
    network.add_argument("--weights", type=Path, metavar="FILE.npz", help="of codec train")
    network.add_argument("--no-network", action="store_true", help="zfp alone")


def _add_study(add: Callable[..., Any]) -> None:
    summary = "train every variant, code every image at every ratio, write a study of them"
    study = add("study", _study, summary, "sample/study.toml --out build/codecs")
    study.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for all of it")
    study.add_argument(
        "--ratio",
        type=float,
        action="append",
        help="may be given again (default: " + ", ".join(f"{r:g}" for r in DEFAULT_RATIOS) + ")",
    )
    study.add_argument(
        "--programme",
        choices=PROGRAMMES,
        default="losses",
        help="what is compared: losses (default), architectures, the epochs of one codec, or what"
        " colour codecs learned, a study a plane: docs/codec-programme.md",
    )
    _add_training_options(study)


def _train(options: argparse.Namespace) -> int:
    jobs = _load("restore.codec.jobs")
    design = _load("restore.codec.networks").CodecDesign(
        options.kind,
        options.loss,
        planes=options.planes,
        strides=options.strides,
        residual_blocks=options.residual_blocks,
    )
    with Progress("codec train", "steps") as progress, writing(options.out.parent, "--out"):
        codec, curve = jobs.train_from(
            options.study,
            design,
            options.out,
            options.hold_out,
            _read_parameters(options),
            progress,
        )
    last = curve[-1]
    say(f"wrote {options.out}; decoder {codec.sha256.hex()[:16]}, {codec.decoder_bytes} bytes")
    say(f"loss {last['train_loss']:.4g} after {last['step']} steps")
    if last["held_out_psnr_db"] is not None:
        say(
            f"held out: loss {last['held_out_loss']:.4g}, PSNR {last['held_out_psnr_db']:.2f} dB,"
            f" SSIM {last['held_out_ssim']:.4f}"
        )
    csv_path = options.out.with_suffix(".csv")
    try:
        figures = importlib.import_module("upscale_audit.analysis.figures.codecs")
    except ModuleNotFoundError as error:
        say(f"the curve is {csv_path}; a picture of it needs {error.name} (extra figures)")
        return EXIT_OK
    title = f"Training of a codec: {options.kind}, {options.loss}"
    paths = figures.write_training_curve(csv_path, title)
    say(f"the curve: {csv_path} and {paths[0]}")
    return EXIT_OK


def _encode(options: argparse.Namespace) -> int:
    jobs = _load("restore.codec.jobs")

    def choose(coder: ImageCoder) -> CodedImage:
        if options.ratio is not None:
            return coder.reach(options.ratio)
        return coder.code(options.latent_step, options.tolerance)

    _check_positive(options.tolerance, "--tolerance")
    _check_positive(options.latent_step, "--latent-step")
    with Progress("codec encode", "images") as progress, writing(options.out, "--out"):
        rows = jobs.encode_images(
            options.study, options.weights, options.out, choose, options.images or ("*",), progress
        )
    raw, coded = (sum(row[name] for row in rows) for name in ("raw_bytes", "file_bytes"))
    say(f"coded {count_noun(len(rows), 'image')} in {options.out}: {raw} raw bytes in {coded}")
    say(f"ratio to 8-bit grey {raw / coded:.2f}; codes.csv there has every image's")
    return EXIT_OK


def _decode(options: argparse.Namespace) -> int:
    jobs = _load("restore.codec.jobs")
    with Progress("codec decode", "images") as progress, writing(options.out, "--out"):
        paths = jobs.decode_images(options.study, options.weights, options.out, progress)
    say(f"decoded {count_noun(len(paths), 'image')} to {options.out}")
    return EXIT_OK


def _study(options: argparse.Namespace) -> int:
    makers = {
        "losses": ("restore.codec.audit", "make_codec_study"),
        "architecture": ("restore.codec.programmes", "make_architecture_study"),
        "learning": ("restore.codec.programmes", "make_learning_study"),
        "colour": ("restore.codec.programmes", "make_colour_study"),
    }
    module, name = makers[options.programme]
    make, parameters = getattr(_load(module), name), _read_parameters(options)
    if options.programme == "learning" and options.ratio:
        raise StudyError("--programme learning codes without a residual; leave --ratio out")
    ratios = [tuple(options.ratio or PROGRAMMES[options.programme])]
    ratios = [] if options.programme == "learning" else ratios
    with Progress("codec study", "images") as progress, writing(options.out, "--out"):
        report = make(options.study, options.out, *ratios, parameters, progress)
    say(f"trained {report.trained} codecs, kept {report.kept_codecs}")
    say(f"coded {count_noun(report.coded, 'image')}, kept {report.kept}")
    for line in report.unreached:
        say(f"not coded: {line}")
    say(f"audit them: upscale-audit run {report.study}")
    if options.programme == "colour":
        say("each plane is such a study: red, green and blue in that folder")
    return EXIT_INCOMPLETE if report.unreached else EXIT_OK


def _figure(options: argparse.Namespace) -> int:
    from upscale_audit.warehouse.proof.provenance import check_warehouse

    figures = load_extra("analysis.figures.codecs", "figures")
    study = load_study(options.study)
    codes = options.study.parent / "codes.csv"
    with writing(study.output):
        check_warehouse(study, can_skip=False)
        paths = figures.write_codec_figure(study.warehouse, codes, study.references, study.output)
    say(f"drew {', '.join(str(path) for path in paths)}")
    return EXIT_OK


def _read_parameters(options: argparse.Namespace) -> TrainingParameters:
    found: TrainingParameters = _load("restore.codec.training").TrainingParameters(
        steps=options.steps, seed=options.seed, threads=options.threads, crop_px=options.crop
    )
    return found


def _check_positive(value: float | None, option: str) -> None:
    if value is not None and not 0 < value < 2**16:
        raise StudyError(f"{option} = {value}; expected a number above 0 and below 65536")


def _load(module: str) -> ModuleType:
    return load_extra(module, "codec")
