"""Codecs as restorers: each image coded by networks that never saw it, as a study to audit."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import locked, write_text
from upscale_audit.restore.codec.coding import CodedImage, ImageCoder, decode_stream
from upscale_audit.restore.codec.images import find_folder, read_images
from upscale_audit.restore.codec.jobs import (
    CODE_COLUMNS,
    describe_code,
    is_file_of,
    write_bytes,
    write_png,
    write_rows,
)
from upscale_audit.restore.codec.models import load_codec, save_codec
from upscale_audit.restore.codec.networks import CodecDesign
from upscale_audit.restore.codec.streams import SUFFIX, read_stream
from upscale_audit.restore.codec.training import describe_training, train_codec, write_curve

if TYPE_CHECKING:
    from upscale_audit.restore.codec.images import GreyImage
    from upscale_audit.restore.codec.models import Codec
    from upscale_audit.restore.codec.training import TrainingParameters


VARIANTS = (("ae", "mse"), ("ae", "ssim"), ("ae", "mixed"), ("vae", "mse"))
ZFP_ALONE = "zfp"
_FIRST_LINE = "# Written by upscale-audit codec"
NETWORK_STEP = 1.0
"""Latent step of the models without a residual."""
STUDY_COLUMNS = ("model_id", "codec", "target_ratio", "restored_sha256", *CODE_COLUMNS)


@dataclass
class StudyReport:
    """What `make_codec_study` did.

    Attributes
    ----------
    study : Path
        The study file.
    trained, kept_codecs, coded, kept : int
        Codecs and images, made or found as they should be.
    unreached : list of str
        Images that no coding brings to a target ratio, and why; they are missing.
    """

    study: Path
    trained: int = 0
    kept_codecs: int = 0
    coded: int = 0
    kept: int = 0
    unreached: list[str] = field(default_factory=list)


def make_codec_study(
    source: str | Path,
    folder: Path,
    ratios: Sequence[float],
    parameters: TrainingParameters,
    progress: Callable[..., None] | None = None,
    designs: Mapping[str, CodecDesign] | None = None,
) -> StudyReport:
    """Train the codecs, code every image at every ratio, and write a study of the results.

    Parameters
    ----------
    source : str or Path
        A study file, whose references are coded, or a folder; at least two images.
    folder : Path
        Receives ``weights/``, ``streams/``, ``restored/``, ``codes.csv`` and ``study.toml``.
    ratios : sequence of float
    parameters : restore.codec.training.TrainingParameters
    progress : callable, optional
        Called as ``progress(done, total, name)`` when an image is coded.
    designs : dict, optional
        Design of each codec by its name; `VARIANTS` without.

    Returns
    -------
    StudyReport

    Raises
    ------
    StudyError
        A ratio is not above 0 or given twice, there are fewer than two images, another process
        writes here, or the folder has a ``study.toml`` of another origin.

    Notes
    -----
    Two folds: images are numbered in the order of their names, and the networks that code the
    even ones were trained on the odd ones, and the other way round. Besides these codecs the
    study has zfp alone at each ratio, and each network alone, without a residual. Run again,
    it keeps what is as it should be.
    """
    check_ratios(ratios)
    if designs is None:
        designs = {name_codec(variant): CodecDesign(*variant) for variant in VARIANTS}
    images = read_pairable(source)
    with locked(folder, "codec study", setting="--out"):
        report = StudyReport(folder / "study.toml")
        check_own(report.study)
        codecs = {
            (name, fold): train_fold(images, folder, (name, design), fold, parameters, report)
            for name, design in designs.items()
            for fold in (0, 1)
        }
        models = _list_models(designs, ratios)
        code_images(images, folder, codecs, models, report, progress)
        baseline = f"{ZFP_ALONE}_r{ratios[0]:g}"
        names = [model.model_id for model in models]
        write_text(report.study, format_study(folder, find_folder(source), names, baseline))
    return report


def read_pairable(source: str | Path, planes: int = 1) -> list[GreyImage]:
    """Read the images of a study or a folder, two or more; `planes` as `read_images` takes it."""
    images = read_images(source, planes=planes)
    if len(images) < 2:
        raise StudyError(
            f"expected two images or more in {source}, to train on one and code the other;"
            " found one"
        )
    return images


def name_codec(variant: tuple[str, str] | None) -> str:
    """Name a variant: its kind and loss, as ``ae_mse``; ``zfp`` where there is no network."""
    return ZFP_ALONE if variant is None else "_".join(variant)


def check_ratios(ratios: Sequence[float]) -> None:
    """Refuse ratios that are not above 0 or are given twice."""
    names = [f"{ratio:g}" for ratio in ratios]
    for name, ratio in zip(names, ratios, strict=True):
        if not 0 < ratio < float("inf") or names.count(name) > 1:
            raise StudyError(f"--ratio {name}; expected numbers above 0, each of them once")


def check_own(path: Path) -> None:
    """Refuse to write over a study file that someone else wrote."""
    if path.exists() and not path.read_bytes().startswith(_FIRST_LINE.encode()):
        raise StudyError(
            f"{path} was not written by codec study and stays as it is; name another folder as"
            " --out"
        )


@dataclass(frozen=True)
class CodedModel:
    """A model of a codec study: a codec, and what its files are to come to.

    Attributes
    ----------
    model_id, codec : str
    ratio : float or None
        Target; None: the network alone, without a residual.
    """

    model_id: str
    codec: str
    ratio: float | None


def _list_models(designs: Mapping[str, CodecDesign], ratios: Sequence[float]) -> list[CodedModel]:
    models: list[CodedModel] = []
    for name in (*designs, ZFP_ALONE):
        models += [CodedModel(f"{name}_r{ratio:g}", name, ratio) for ratio in ratios]
        if name != ZFP_ALONE:
            models.append(CodedModel(f"{name}_net", name, None))
    return models


def train_fold(
    images: Sequence[GreyImage],
    folder: Path,
    codec_named: tuple[str, CodecDesign],
    fold: int,
    parameters: TrainingParameters,
    report: StudyReport,
) -> Codec:
    """Train a codec on the images that are not of a fold, or keep the one that is there."""
    held_out, kept = images[fold::2], images[1 - fold :: 2]
    name, design = codec_named
    path = folder / "weights" / f"{name}_fold{fold}.npz"
    wanted = json.loads(json.dumps(describe_training(kept, held_out, parameters)))
    codec = find_trained(path, design, wanted)
    if codec is not None:
        report.kept_codecs += 1
        return codec
    codec, curve = train_codec(design, kept, held_out, parameters)
    save_codec(codec, path)
    write_curve(curve, path.with_suffix(".csv"))
    report.trained += 1
    return codec


def find_trained(path: Path, design: CodecDesign, training: Mapping[str, Any]) -> Codec | None:
    """Load a codec that is of a design and was trained as described; None if there is none."""
    if not path.is_file():
        return None
    codec = load_codec(path)
    return codec if (codec.design, codec.training) == (design, training) else None


def code_images(
    images: Sequence[GreyImage],
    folder: Path,
    codecs: Mapping[tuple[str, int], Codec],
    models: Sequence[CodedModel],
    report: StudyReport,
    progress: Callable[..., None] | None,
) -> None:
    """Code every image by the codec of its fold for every model, and list the sizes.

    Parameters
    ----------
    images : list of restore.codec.images.GreyImage
    folder : Path
        Receives ``streams/``, ``restored/`` and ``codes.csv``.
    codecs : dict
        By name and fold; a model whose codec is not among them is zfp alone.
    models : list of CodedModel
    report : StudyReport
    progress : callable or None
    """
    known = read_known(folder / "codes.csv")
    rows = []
    names = dict.fromkeys(model.codec for model in models)
    jobs = [(number, name) for name in names for number in range(len(images))]
    for done, (number, name) in enumerate(jobs, start=1):
        image, fold = images[number], number % 2
        codec = codecs.get((name, fold))
        shared_by = len(images[fold::2])
        targets = [model for model in models if model.codec == name]
        rows += code_image(image, codec, shared_by, targets, folder, known, report)
        # Rows so far, so that a run stopped here keeps them.
        write_rows(folder / "codes.csv", STUDY_COLUMNS, merge_rows(rows, known))
        if progress is not None:
            progress(done, len(jobs), f"{name} {image.image_id}")
    write_rows(folder / "codes.csv", STUDY_COLUMNS, rows)


def code_image(
    image: GreyImage,
    codec: Codec | None,
    shared_by: int,
    targets: Sequence[CodedModel],
    folder: Path,
    known: Mapping[tuple[str, str], Mapping[str, str]],
    report: StudyReport,
) -> list[dict[str, Any]]:
    """Code one image as the models of one codec, or keep what is there; rows of codes.csv.

    Parameters
    ----------
    image : restore.codec.images.GreyImage
    codec : restore.codec.models.Codec or None
        None: zfp alone.
    shared_by : int
        Images over which the decoder's bytes are spread.
    targets : list of CodedModel
        Models of the codec.
    folder : Path
    known : dict
        Rows of an earlier run, by model and image.
    report : StudyReport
        Counts what is done here.

    Returns
    -------
    list of dict
    """
    coder, rows = None, []
    for target in targets:
        model_id, name, ratio = target.model_id, target.codec, target.ratio
        stream = folder / "streams" / model_id / f"{image.image_id}{SUFFIX}"
        restored = folder / "restored" / model_id / f"{image.image_id}.png"
        row = known.get((model_id, image.image_id))
        if row and _is_current(row, image, codec, stream, restored):
            coded = _read_coded(stream, codec)
            facts = {"model_id": model_id, "codec": name, "target_ratio": ratio}
            facts["restored_sha256"] = row["restored_sha256"]
            rows.append(facts | describe_code(image, coded, codec, shared_by))
            report.kept += 1
            continue
        restored.parent.mkdir(parents=True, exist_ok=True)
        coder = coder or ImageCoder(codec, image.grey)
        try:
            coded = coder.code(NETWORK_STEP, None) if ratio is None else coder.reach(ratio)
        except StudyError as error:
            report.unreached.append(f"{model_id}, {image.image_id}: {error}")
            restored.unlink(missing_ok=True)
            continue
        write_bytes(stream, coded.data)
        pixels = decode_stream(stream.read_bytes(), codec, str(stream))
        facts = {"model_id": model_id, "codec": name, "target_ratio": ratio}
        facts["restored_sha256"] = write_png(restored, pixels)
        rows.append(facts | describe_code(image, coded, codec, shared_by))
        report.coded += 1
    return rows


def _is_current(
    row: Mapping[str, str], image: GreyImage, codec: Codec | None, stream: Path, restored: Path
) -> bool:
    decoder = "" if codec is None else codec.sha256.hex()
    return (
        row["image_sha256"] == image.sha256
        and row["decoder_sha256"] == decoder
        and is_file_of(stream, row["file_sha256"])
        and is_file_of(restored, row["restored_sha256"])
    )


def _read_coded(path: Path, codec: Codec | None) -> CodedImage:
    """Read back what was coded: its measures are taken anew, never from the list of them."""
    data = path.read_bytes()
    pixels = decode_stream(data, codec, str(path))
    return CodedImage(data, read_stream(data, str(path)), pixels)


def read_known(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Rows of an earlier run, by model and image."""
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != STUDY_COLUMNS:
            return {}
        whole = (row for row in reader if None not in row and None not in row.values())
        return {(row["model_id"], row["image_id"]): row for row in whole}


def merge_rows(
    rows: Sequence[dict[str, Any]], known: Mapping[tuple[str, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows made now, and those of an earlier run that were not."""
    made = {(row["model_id"], row["image_id"]): row for row in rows}
    return list({**known, **made}.values())


def format_study(folder: Path, references: Path, models: Sequence[str], baseline: str) -> str:
    """Spell the study file of a codec study.

    Parameters
    ----------
    folder : Path
        Where it will lie, beside ``restored/``.
    references : Path
    models : list of str
    baseline : str
        The model that others are compared with.

    Returns
    -------
    str
    """
    relative = Path(os.path.relpath(references.resolve(), folder.resolve())).as_posix()
    lines = [
        f"{_FIRST_LINE}; what it measured is in the CSV files beside this one.",
        "",
        "[study]",
        'name = "codecs"',
        f"references = {json.dumps(relative)}",
        'output = "audit"',
    ]
    for model_id in models:
        lines += ["", "[[models]]", f'model_id = "{model_id}"', f'notta = "restored/{model_id}"']
    return "\n".join([*lines, "", "[parameters]", f'baseline_model = "{baseline}"', ""])
