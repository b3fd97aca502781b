"""Studies of the compression log besides the losses: architecture, order of learning, colour."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import locked, write_text
from upscale_audit.ingest.images import hash_pixels
from upscale_audit.restore.codec.audit import (
    NETWORK_STEP,
    CodedModel,
    StudyReport,
    check_own,
    check_ratios,
    code_images,
    find_trained,
    format_study,
    make_codec_study,
    read_pairable,
    train_fold,
)
from upscale_audit.restore.codec.coding import ImageCoder, decode_stream
from upscale_audit.restore.codec.images import find_folder, split_planes
from upscale_audit.restore.codec.jobs import (
    CODE_COLUMNS,
    describe_code,
    write_bytes,
    write_png,
    write_rows,
)
from upscale_audit.restore.codec.models import save_codec
from upscale_audit.restore.codec.networks import CodecDesign
from upscale_audit.restore.codec.streams import SUFFIX
from upscale_audit.restore.codec.training import (
    count_epoch_steps,
    describe_training,
    train_codec,
    write_curve,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.restore.codec.images import GreyImage
    from upscale_audit.restore.codec.models import Codec
    from upscale_audit.restore.codec.training import TrainingParameters


ARCHITECTURES = {
    "s2222": CodecDesign("ae", "mse"),
    "s2222_res": CodecDesign("ae", "mse", residual_blocks=1),
    "s44": CodecDesign("ae", "mse", strides=(4, 4)),
    "s44_res": CodecDesign("ae", "mse", strides=(4, 4), residual_blocks=1),
}
"""Designs by name: four strides of 2 or two of 4, with a residual block after each or without."""
LEARNER = CodecDesign("ae", "mixed")
COLOUR = CodecDesign("ae", "mixed", planes=3)
PLANES = ("red", "green", "blue")
JITTER = 0.3
"""Of the codec that is trained with it."""
COLOUR_CODECS = ("colour", "noblue", "grey", "jitter")
"""Trained on three planes; on three of which the loss saw two; on grey as three equal planes; on
three with `JITTER`."""
COLOUR_COLUMNS = ("model_id", "codec", "target_ratio", *CODE_COLUMNS)


def make_architecture_study(
    source: str | Path,
    folder: Path,
    ratios: Sequence[float],
    parameters: TrainingParameters,
    progress: Callable[..., None] | None = None,
) -> StudyReport:
    """Do what `restore.codec.audit.make_codec_study` does, of `ARCHITECTURES`."""
    return make_codec_study(source, folder, ratios, parameters, progress, ARCHITECTURES)


def make_learning_study(
    source: str | Path,
    folder: Path,
    parameters: TrainingParameters,
    progress: Callable[..., None] | None = None,
) -> StudyReport:
    """Train one codec, code every image as the codec was after 1, 2, 4, ... epochs.

    Parameters
    ----------
    source : str or Path
        A study file, whose references are coded, or a folder; at least two images.
    folder : Path
        Receives what a codec study has, a model an epoch: ``ae_e001``, ``ae_e002``, ...
    parameters : restore.codec.training.TrainingParameters
    progress : callable, optional

    Returns
    -------
    restore.codec.audit.StudyReport

    Notes
    -----
    Folds are those of a codec study. An epoch is as many steps as draw the pixels of the images
    once (`restore.codec.training.count_epoch_steps`); the last model is the last whole epoch.
    There is no residual, which would hide what was not learned, and the latent step is 1.
    """
    images = read_pairable(source)
    epochs = list_epochs(images, parameters)
    with locked(folder, "codec study", setting="--out"):
        report = StudyReport(folder / "study.toml")
        check_own(report.study)
        codecs: dict[tuple[str, int], Codec] = {}
        for fold in (0, 1):
            kept, held_out = images[1 - fold :: 2], images[fold::2]
            found = _train_epochs(kept, held_out, folder / "weights", fold, epochs, parameters)
            report.trained += found[1]
            report.kept_codecs += not found[1]
            codecs |= {(name_epoch(epoch), fold): codec for epoch, codec in found[0].items()}
        names = [name_epoch(epoch) for epoch in epochs]
        models = [CodedModel(name, name, None) for name in names]
        code_images(images, folder, codecs, models, report, progress)
        write_text(report.study, format_study(folder, find_folder(source), names, names[-1]))
    return report


def list_epochs(images: Sequence[GreyImage], parameters: TrainingParameters) -> list[int]:
    """List the epochs after which a codec is kept: powers of two and the last whole one, from 1."""
    steps = max(count_epoch_steps(images[fold::2], parameters) for fold in (0, 1))
    last = max(1, parameters.steps // steps)
    return [*(1 << power for power in range((last - 1).bit_length())), last]


def name_epoch(epoch: int) -> str:
    """Name the model of an epoch, as ``ae_e001``."""
    return f"ae_e{epoch:03d}"


def _train_epochs(
    kept: Sequence[GreyImage],
    held_out: Sequence[GreyImage],
    folder: Path,
    fold: int,
    epochs: Sequence[int],
    parameters: TrainingParameters,
) -> tuple[dict[int, Codec], bool]:
    """Train a fold's codec, or find its epochs; and whether it was trained."""
    each = count_epoch_steps(kept, parameters)
    # A fold of fewer steps than one epoch still has its last step.
    steps = {epoch: min(epoch * each, parameters.steps) for epoch in epochs}
    training = json.loads(json.dumps(describe_training(kept, held_out, parameters)))
    paths = {epoch: folder / f"{name_epoch(epoch)}_fold{fold}.npz" for epoch in epochs}
    there = {
        epoch: find_trained(path, LEARNER, training | {"step": steps[epoch]})
        for epoch, path in paths.items()
    }
    found = {epoch: codec for epoch, codec in there.items() if codec is not None}
    if len(found) == len(epochs):
        return found, False
    keep = {steps[epoch]: partial(found.__setitem__, epoch) for epoch in epochs}
    _, curve = train_codec(LEARNER, kept, held_out, parameters, keep=keep)
    for epoch in epochs:
        save_codec(found[epoch], paths[epoch])
    write_curve(curve, folder / f"ae_fold{fold}.csv")
    return found, True


def make_colour_study(
    source: str | Path,
    folder: Path,
    ratios: Sequence[float],
    parameters: TrainingParameters,
    progress: Callable[..., None] | None = None,
) -> StudyReport:
    """Train codecs of three planes, code every image, write a study a plane.

    Parameters
    ----------
    source : str or Path
        A study file or a folder; at least two images, in colour.
    folder : Path
        Receives ``weights/``, ``streams/``, ``codes.csv``, and for each of `PLANES` a folder with
        ``reference/``, ``restored/`` and ``study.toml``.
    ratios : sequence of float
        Raw bytes, three a pixel, over bytes of the file.
    parameters : restore.codec.training.TrainingParameters
    progress : callable, optional

    Returns
    -------
    restore.codec.audit.StudyReport
        Its study is that of the first plane.

    Raises
    ------
    StudyError
        As `restore.codec.audit.make_codec_study`.

    Notes
    -----
    The audit measures grey levels. A plane is an image of them, so that each plane is a study of
    its own: the same images and models, one answer a plane. A file codes all three planes
    together, and codes.csv has one row a file.
    """
    check_ratios(ratios)
    images = read_pairable(source, planes=3)
    targets = [CodedModel(f"{name}_net", name, None) for name in COLOUR_CODECS]
    targets += [CodedModel(f"{c}_r{ratio:g}", c, ratio) for c in COLOUR_CODECS for ratio in ratios]
    with locked(folder, "codec study", setting="--out"):
        studies = {plane: folder / plane / "study.toml" for plane in PLANES}
        report = StudyReport(studies[PLANES[0]])
        for path in studies.values():
            check_own(path)
        codecs = {
            (name, fold): _train_colour(images, folder, name, fold, parameters, report)
            for name in COLOUR_CODECS
            for fold in (0, 1)
        }
        for image in images:
            for plane, levels in zip(PLANES, image.stack, strict=True):
                _write_plane(folder / plane / "reference" / f"{image.image_id}.png", levels)
        rows, jobs = [], [(target, n) for target in targets for n in range(len(images))]
        for done, (target, number) in enumerate(jobs, start=1):
            codec, shared_by = codecs[target.codec, number % 2], len(images[number % 2 :: 2])
            rows += _code_colour(images[number], codec, target, folder, report, shared_by)
            if progress is not None:
                progress(done, len(jobs), f"{target.model_id} {images[number].image_id}")
        write_rows(folder / "codes.csv", COLOUR_COLUMNS, rows)
        names = [target.model_id for target in targets]
        for plane, path in studies.items():
            text = format_study(folder / plane, folder / plane / "reference", names, names[0])
            write_text(path, text)
    return report


def _train_colour(
    images: Sequence[GreyImage],
    folder: Path,
    name: str,
    fold: int,
    parameters: TrainingParameters,
    report: StudyReport,
) -> Codec:
    if name == "noblue":
        parameters = replace(parameters, learned_planes=(0, 1))
    elif name == "jitter":
        parameters = replace(parameters, jitter=JITTER)
    elif name == "grey":
        images = [_make_grey(image) for image in images]
    return train_fold(images, folder, (name, COLOUR), fold, parameters, report)


def _make_grey(image: GreyImage) -> GreyImage:
    """Give an image the same grey in three planes; its hash says which pixels were learned."""
    weights = np.array([0.299, 0.587, 0.114])
    grey = np.rint(np.tensordot(weights, image.stack, 1)).astype(np.uint8)
    pixels = np.concatenate([grey] * 3)
    return replace(image, grey=pixels, sha256=hash_pixels(pixels))


def _code_colour(
    image: GreyImage,
    codec: Codec,
    target: CodedModel,
    folder: Path,
    report: StudyReport,
    shared_by: int,
) -> list[dict[str, Any]]:
    """Code an image for a model, write what a decoder makes of the file; its row, if it has one."""
    name = f"{image.image_id}.png"
    paths = {plane: folder / plane / "restored" / target.model_id / name for plane in PLANES}
    coder = ImageCoder(codec, image.grey)
    try:
        ratio = target.ratio
        coded = coder.code(NETWORK_STEP, None) if ratio is None else coder.reach(ratio)
    except StudyError as error:
        report.unreached.append(f"{target.model_id}, {image.image_id}: {error}")
        for path in paths.values():
            path.unlink(missing_ok=True)
        return []
    stream = folder / "streams" / target.model_id / f"{image.image_id}{SUFFIX}"
    write_bytes(stream, coded.data)
    pixels = decode_stream(stream.read_bytes(), codec, str(stream))
    for path, levels in zip(paths.values(), split_planes(pixels, len(PLANES)), strict=True):
        _write_plane(path, levels)
    report.coded += 1
    facts = {"model_id": target.model_id, "codec": target.codec, "target_ratio": target.ratio}
    return [facts | describe_code(image, coded, codec, shared_by)]


def _write_plane(path: Path, levels: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.ascontiguousarray(levels))
