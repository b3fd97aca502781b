"""What the command ``reader train`` does: of a study's images and labels a reader and a record."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from upscale_audit.ingest.documents import read_bounded
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_json, write_text
from upscale_audit.ingest.manifests import describe_code
from upscale_audit.ingest.wording import count_noun
from upscale_audit.reading.chestxray8 import (
    LEAST_INPUT_PX,
    MAX_FILE_BYTES,
    MOST_INPUT_PX,
    save_reader,
)
from upscale_audit.reading.chestxray8_network import NetworkDesign
from upscale_audit.reading.discrimination import measure_discrimination
from upscale_audit.reading.labelled import StoredRows, prepare_images, read_labels
from upscale_audit.reading.splits import SHARES, SPLITS, split_patient
from upscale_audit.reading.training import (
    CURVE_COLUMNS,
    LabelledImages,
    TrainingParameters,
    compute_logits,
    describe_training,
    train_network,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.study import Study
    from upscale_audit.reading.chestxray8_network import ChestXray8Network
    from upscale_audit.reading.labelled import LabelledStudy, PreparedImages


LEAST_OF_A_KIND = 2
"""Images with a finding, and without it, that each split needs; one alone has no interval."""
FINDING_COLUMNS = (
    "finding",
    "split",
    "images",
    "patients",
    "positives",
    "auc",
    "auc_low",
    "auc_high",
)
_JUDGED = ("validation", "test")


@dataclass(frozen=True)
class ReaderSettings:
    """What is trained, and on what.

    Attributes
    ----------
    trunk, pooling, r, width
        As of `reading.chestxray8_network.NetworkDesign`.
    input_px : int
        Side of the square that the network is given, 32..4096.
    findings : tuple of str
        Outputs in this order; empty takes all that the labels name.
    device : str
    trunk_weights : Path or None
        torchvision's weights of the trunk: a state dict as ``.safetensors``, or as ``.pth``,
        of which nothing but tensors is unpickled.
    """

    trunk: int = 18
    pooling: str = "lse"
    r: float = 10.0
    input_px: int = 224
    findings: tuple[str, ...] = ()
    device: str = "cpu"
    trunk_weights: Path | None = None
    width: int = 64


@dataclass(frozen=True)
class TrainingReport:
    """What was written; `left_out` says by finding why, `refused` by image."""

    findings: tuple[str, ...]
    images: dict[str, int]
    kept_epoch: int
    epochs: int
    mean_test_auc: float
    record: tuple[Path, Path]
    left_out: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unlabelled: int = 0


def train_reader(
    study: Study,
    out: Path,
    settings: ReaderSettings,
    parameters: TrainingParameters,
    workers: int | None = None,
    progress: Callable[..., None] | None = None,
) -> TrainingReport:
    """Train a reader on a study's references, and write it and its record.

    Parameters
    ----------
    study : ingest.study.Study
    out : Path
        ``.safetensors``; beside it go ``.curve.csv`` (an epoch a row, `training.CURVE_COLUMNS`)
        and ``.findings.csv`` (a finding and split a row, `FINDING_COLUMNS`).
    settings : ReaderSettings
    parameters : reading.training.TrainingParameters
        Its seed deals the patients too.
    workers : int, optional
        Processes that decode; all cores by default. No value depends on it.
    progress : callable, optional
        Called as ``progress(stage, done, total)``: images, then batches.

    Returns
    -------
    TrainingReport

    Raises
    ------
    StudyError
        A file lies at `out`, there are no labels, too few patients, no finding with enough
        images, and what `training.train_network` refuses.

    Notes
    -----
    AUC is of the weights that the validation chose: of the test images, which nothing chose by, it
    speaks of new patients; that of the validation flatters. Images that were trained on have none.
    """
    record = _check_settings(out, settings)
    weights, weights_sha256 = _read_trunk(settings.trunk_weights)
    labelled = read_labels(study, settings.findings)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.stem}.", dir=out.parent) as folder:
        images = prepare_images(
            study,
            labelled,
            settings.input_px,
            Path(folder) / "images",
            workers or os.cpu_count() or 1,
            partial(progress, "images") if progress else None,
        )
        dealt = _deal(labelled, images, parameters.seed, study)
        design = NetworkDesign(
            settings.trunk, settings.pooling, settings.r, len(dealt.findings), settings.width
        )
        network, curve = train_network(
            design,
            dealt.parts["train"],
            dealt.parts["validation"],
            parameters,
            settings.device,
            weights,
            partial(progress, "batches") if progress else None,
        )
        judged = _judge(network, dealt, parameters)
    kept = next(row["epoch"] for row in curve if row["is_kept"])
    training = describe_training(design, parameters) | {
        "shares": dict(zip(SPLITS, SHARES, strict=True)),
        "counts": [_count(row) for row in judged],
        "images_sha256": dealt.images_sha256,
        "trunk_weights_sha256": weights_sha256,
        "kept_epoch": kept,
    }
    _write_record(record, curve, judged)
    version = describe_code("reading")["version"]
    said = {"findings": dealt.findings, "input_px": settings.input_px, "training": training}
    save_reader(out, network, said | {"version": version})
    tested = [row["auc"] for row in judged if row["split"] == "test"]
    return TrainingReport(
        findings=dealt.findings,
        images={name: len(part.labels) for name, part in dealt.parts.items()},
        kept_epoch=kept,
        epochs=len(curve),
        mean_test_auc=fmean(tested),
        record=record,
        left_out=dealt.left_out,
        refused={labelled.image_ids[at]: why for at, why in sorted(images.refused.items())},
        unlabelled=labelled.unlabelled,
    )


@dataclass(frozen=True)
class _Dealt:
    """Labelled images by split, and the findings that every split has images with and without."""

    findings: tuple[str, ...]
    left_out: dict[str, str]
    parts: dict[str, LabelledImages]
    patients: dict[str, list[str]]
    images_sha256: str
    """Of each image's name, pixels and split."""


def _check_settings(out: Path, settings: ReaderSettings) -> tuple[Path, Path]:
    """Refuse what cannot be trained before an image is read; name the files of the record."""
    if out.suffix != ".safetensors":
        raise StudyError(f"expected --out to end in .safetensors, found {out}; name it so")
    record = out.with_suffix(".curve.csv"), out.with_suffix(".findings.csv")
    for path in (out, *record):
        if path.exists():
            raise StudyError(f"{path} exists already: move it, or name another --out")
    if not LEAST_INPUT_PX <= settings.input_px <= MOST_INPUT_PX:
        raise StudyError(
            f"--input-px {settings.input_px}; expected {LEAST_INPUT_PX}..{MOST_INPUT_PX}"
        )
    NetworkDesign(settings.trunk, settings.pooling, settings.r, 1, settings.width)
    return record


def _read_trunk(path: Path | None) -> tuple[tuple[str, Mapping[str, Any]] | None, str | None]:
    """Read a trunk's state dict, of which nothing but tensors is unpickled, and its hash."""
    if path is None:
        return None, None
    try:
        data = read_bounded(path, MAX_FILE_BYTES)
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load

            state: object = load(data)
        else:
            with warnings.catch_warnings():  # of TorchScript, which is then refused
                warnings.simplefilter("ignore")
                state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged data surfaces as many types
        # The first sentence: behind it PyTorch advises to load what runs code.
        reason = f"{type(error).__name__} {error}".partition("\n")[0].partition(". ")[0]
        reason = reason.rstrip(": ")
        raise StudyError(
            f"{path} is no file of weights: {reason}; name torchvision's of the trunk as"
            " --trunk-weights"
        ) from None
    if not isinstance(state, dict):
        raise StudyError(
            f"{path} holds a {type(state).__name__}; expected a state dict: name torchvision's of"
            " the trunk as --trunk-weights"
        )
    return (str(path), state), hashlib.sha256(data).hexdigest()


def _deal(labelled: LabelledStudy, images: PreparedImages, seed: int, study: Study) -> _Dealt:
    """Deal patients to the splits, and choose the findings."""
    rows = _split(images.patients, images.refused, seed, study)
    chosen, left_out = _choose(labelled.findings, labelled.labels, rows, study)
    members = [
        (labelled.image_ids[at], images.sha256[at], name)
        for name in SPLITS
        for at in rows[name].tolist()
    ]
    return _Dealt(
        findings=tuple(labelled.findings[at] for at in chosen),
        left_out=left_out,
        parts={
            name: LabelledImages(
                StoredRows(images.pixels, index), labelled.labels[index][:, chosen]
            )
            for name, index in rows.items()
        },
        patients={name: [images.patients[at] for at in index] for name, index in rows.items()},
        images_sha256=hash_json(members),
    )


def _split(
    patients: Sequence[str], refused: Mapping[int, str], seed: int, study: Study
) -> dict[str, npt.NDArray[np.intp]]:
    """Deal the images' numbers to the splits, patient by patient."""
    usable = [at for at in range(len(patients)) if at not in refused]
    count = len({patients[at] for at in usable})
    if count < len(SPLITS):
        raise StudyError(
            f"{study.path}: {count_noun(len(usable), 'labelled image')} of"
            f" {count_noun(count, 'patient')}; training, validating and testing need patients of"
            " their own: name a study of more patients"
        )
    dealt = {at: split_patient(patients[at], seed) for at in usable}
    rows = {name: np.array([at for at in usable if dealt[at] == name], np.intp) for name in SPLITS}
    for name, index in rows.items():
        if not len(index):
            raise StudyError(
                f"{study.path}: none of {count_noun(count, 'patient')} is dealt to the {name} split"
                f" by --seed {seed}; name a study of more patients, or another --seed"
            )
    return rows


def _choose(
    findings: Sequence[str],
    labels: npt.NDArray[np.bool_],
    rows: Mapping[str, npt.NDArray[np.intp]],
    study: Study,
) -> tuple[list[int], dict[str, str]]:
    """Choose the findings of which every split has images with and without."""
    left_out: dict[str, str] = {}
    for at, finding in enumerate(findings):
        for name, index in rows.items():
            positives = int(labels[index, at].sum())
            for count, how in ((positives, "with"), (len(index) - positives, "without")):
                if count < LEAST_OF_A_KIND:
                    left_out.setdefault(
                        finding,
                        f"{count_noun(count, 'image')} {how} it in the {name} split; expected"
                        f" {LEAST_OF_A_KIND} or more",
                    )
    chosen = [at for at, finding in enumerate(findings) if finding not in left_out]
    if not chosen:
        finding, why = next(iter(left_out.items()))
        raise StudyError(
            f"{study.path}: no finding can be trained, {finding!r} for one has {why}; name a study"
            " of more patients, or another --seed"
        )
    return chosen, left_out


def _judge(
    network: ChestXray8Network, dealt: _Dealt, parameters: TrainingParameters
) -> list[dict[str, Any]]:
    """Make the record's row of every finding and split."""
    logits = {
        name: compute_logits(network, dealt.parts[name].images, batch_size=parameters.batch_size)
        for name in _JUDGED
    }
    rows = []
    for at, finding in enumerate(dealt.findings):
        for name in SPLITS:
            labels, patients = dealt.parts[name].labels[:, at], dealt.patients[name]
            row = {"finding": finding, "split": name, "images": len(labels)}
            row |= {"patients": len(set(patients)), "positives": int(labels.sum())}
            row |= {"auc": None, "auc_low": None, "auc_high": None}
            if name in _JUDGED:
                found = measure_discrimination(labels, logits[name][:, at], patients)
                row |= {"auc": found.auc, "auc_low": found.low, "auc_high": found.high}
            rows.append(row)
    return rows


def _count(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("finding", "split", "images", "patients", "positives")}


def _write_record(
    record: tuple[Path, Path], curve: Sequence[Mapping[str, Any]], judged: Sequence[Any]
) -> None:
    """Write both tables; what is missing is empty."""
    tables = ((CURVE_COLUMNS, curve), (FINDING_COLUMNS, judged))
    for path, (columns, rows) in zip(record, tables, strict=True):
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())
