"""Fit the standard basis: the weights that score a study's blocks unless it says otherwise.

``python -m upscale_audit.warehouse.standard STUDY.toml...`` reads the studies' built warehouses,
pools their models with equal weight as a study's own basis does (definitions E.4), and writes the
seed ``standard_basis.csv`` and, beside it, ``standard_basis.json``: the images by name and hash,
the models, the commands, and how the first axis moves with the number of patients. Models are those
of each study's ``axis_models``, by default all but controls; one of the same name in several
studies is one model. The studies' own files are only read.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_json, write_text
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.dbt_runner import PROJECT
from upscale_audit.warehouse.proof.provenance import STANDARD_BASIS, check_warehouse

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.study import Study


FEATURES = ("luminance", "contrast", "gain_2", "gain_4", "gain_8")
"""As `dbt_project/macros/vocabulary.sql` lists them; a test compares the two."""

SEED = PROJECT / "seeds" / "standard_basis.csv"
MANIFEST = SEED.with_suffix(".json")
COLUMNS = (
    "basis_id",
    "component",
    "position",
    "feature",
    "loading",
    "scale",
    "feature_mean",
    "weight",
    "eigenvalue",
    "eigenvalue_gap",
    "is_identifiable",
    "block_count",
)
DIGITS = 9
PATIENT_STEPS = (12, 24)
_ANCHOR = FEATURES.index("contrast")
_LEAST_ANCHOR, _LEAST_GAP = 0.2, 1.05


@dataclass(frozen=True)
class Moments:
    """Exact sums over one image's notta blocks under one model.

    Attributes
    ----------
    model_id, image_id, cluster_id : str
        The cluster is the patient, where the image has one.
    block_count : int
    sums : tuple of Decimal
        Of the features, then of their products in the order of an upper triangle.
    image_sha256, restored_sha256 : str
        Of the reference's file and of the restored one.
    """

    model_id: str
    image_id: str
    cluster_id: str
    block_count: int
    sums: tuple[Decimal, ...]
    image_sha256: str
    restored_sha256: str


@dataclass(frozen=True)
class Basis:
    """A principal basis of the feature space.

    Attributes
    ----------
    loadings : (5, 5) float64 array
        A row per component, largest eigenvalue first, signed by the anchor rule.
    eigenvalues, means, scales : (5,) float64 arrays
    block_count : int
    """

    loadings: np.ndarray
    eigenvalues: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    block_count: int


def read_moments(study: Study) -> list[Moments]:
    """Read the sums that a study's warehouse keeps for builds that add to it.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    list of Moments

    Raises
    ------
    StudyError
        There is no warehouse, it was changed since its build, or it keeps no sums: the study
        scores by its own axis.
    """
    check_warehouse(study, can_skip=False)
    products = [f"{a}_{b}" for at, a in enumerate(FEATURES) for b in FEATURES[at:]]
    sums = ", ".join(f"moments.sum_{name}" for name in (*FEATURES, *products))
    with open_warehouse(study.warehouse) as connection:
        tables = connection.sql(
            "select 1 from information_schema.tables where table_name = 'int_image_moments'"
        ).fetchall()
        if not tables:
            raise StudyError(
                f"{study.warehouse} keeps no sums of features, for its axis is its own: take axis"
                f" out of {study.path} and run upscale-audit build {study.path}"
            )
        rows = connection.sql(
            "select moments.model_id, moments.image_id, images.cluster_id, moments.block_count,"
            f" images.file_sha256, files.file_sha256, {sums}"
            " from intermediate.int_image_moments as moments"
            " inner join dim_images as images on moments.image_id = images.image_id"
            " inner join dim_source_files as files on moments.model_id = files.model_id"
            " and moments.image_id = files.image_id and files.inference_path = 'notta'"
            " order by moments.model_id, moments.image_id"
        ).fetchall()
    return [
        Moments(model_id, image_id, cluster_id, count, tuple(sums), image_sha256, restored_sha256)
        for model_id, image_id, cluster_id, count, image_sha256, restored_sha256, *sums in rows
    ]


def merge_moments(studies: Sequence[list[Moments]]) -> list[Moments]:
    """Join several studies' sums; an image that two of them measured alike counts once.

    Parameters
    ----------
    studies : list of list of Moments

    Returns
    -------
    list of Moments
        By model, then image.

    Raises
    ------
    StudyError
        An image of a model was restored in two ways.
    """
    found: dict[Any, Any] = {}
    for item in (item for moments in studies for item in moments):
        known = found.setdefault((item.model_id, item.image_id), item)
        if known != item:
            raise StudyError(
                f"two studies have image {item.image_id} of model {item.model_id} in different"
                " files: name one of the models otherwise"
            )
    return [found[key] for key in sorted(found)]


def fit_basis(moments: Sequence[Moments]) -> Basis:
    """Fit the basis of the models' pooled correlation matrix, every model with the same weight.

    Parameters
    ----------
    moments : list of Moments

    Returns
    -------
    Basis

    Notes
    -----
    As dbt's ``int_basis_covariances`` to ``int_basis_loadings`` do, with LAPACK in the place of
    Jacobi rotations: means and covariances within each model, averaged over models, and the
    covariance of the models' means added.
    """
    upper = np.triu_indices(len(FEATURES))
    grouped = defaultdict(list)
    for item in moments:
        grouped[item.model_id].append(item)
    means, covariances, blocks = [], [], 0
    for items in grouped.values():
        count = sum(item.block_count for item in items)
        totals = [sum(column) for column in zip(*(item.sums for item in items), strict=True)]
        mean = np.array([float(total) / count for total in totals[: len(FEATURES)]])
        covariance = np.zeros((len(FEATURES), len(FEATURES)))
        covariance[upper] = [float(total) / count for total in totals[len(FEATURES) :]]
        covariance = covariance + np.triu(covariance, 1).T - np.outer(mean, mean)
        means.append(mean)
        covariances.append(covariance)
        blocks += count
    pooled = np.mean(covariances, axis=0) + np.cov(np.array(means).T, bias=True)
    scales = np.sqrt(np.diag(pooled))
    eigenvalues, vectors = np.linalg.eigh(pooled / np.outer(scales, scales))
    loadings = np.array([_orient(vector) for vector in vectors.T[::-1]])
    scales = scales * np.sqrt(blocks / (blocks - 1))
    return Basis(loadings, eigenvalues[::-1], np.mean(means, axis=0), scales, blocks)


def _orient(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give an eigenvector the sign that the anchor rule states (definitions E.4)."""
    anchor = vector[_ANCHOR]
    if abs(anchor) < _LEAST_ANCHOR:
        anchor = vector[np.argmax(np.abs(vector))]
    turned: npt.NDArray[np.float64] = vector * np.sign(anchor)
    return turned


def format_seed(basis: Basis) -> str:
    """Write a basis as the rows of the seed.

    Parameters
    ----------
    basis : Basis

    Returns
    -------
    str
        CSV, numbers rounded to nine decimals.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    following = [*basis.eigenvalues[1:], None]
    for component, loadings in enumerate(basis.loadings):
        eigenvalue, after = basis.eigenvalues[component], following[component]
        for position, feature in enumerate(FEATURES):
            loading, scale = loadings[position], basis.scales[position]
            values = [loading, scale, basis.means[position], loading / scale, eigenvalue]
            gap = None if after is None else float(round(eigenvalue / after, DIGITS))
            writer.writerow(
                [
                    STANDARD_BASIS,
                    component + 1,
                    position + 1,
                    feature,
                    *(float(round(value, DIGITS)) for value in values),
                    gap,
                    str(after is None or bool(eigenvalue >= _LEAST_GAP * after)).lower(),
                    basis.block_count,
                ]
            )
    return stream.getvalue()


def compare_patients(moments: Sequence[Moments]) -> list[dict[str, Any]]:
    """Fit the first axis to a few patients, and more of them: those of most models come first.

    Parameters
    ----------
    moments : list of Moments

    Returns
    -------
    list of dict
        patients, images, loadings, weights, gap and the cosine with the axis of all.
    """
    models = defaultdict(set)
    for item in moments:
        models[item.cluster_id].add(item.model_id)
    patients = sorted(models, key=lambda name: (-len(models[name]), name))
    whole = fit_basis(moments).loadings[0]
    rows = []
    for count in sorted({step for step in PATIENT_STEPS if step < len(patients)} | {len(patients)}):
        first = set(patients[:count])
        chosen = [item for item in moments if item.cluster_id in first]
        basis = fit_basis(chosen)
        rows.append(
            {
                "patients": count,
                "images": len({(item.image_id, item.image_sha256) for item in chosen}),
                "loadings": _round_all(basis.loadings[0]),
                "weights": _round_all(basis.loadings[0] / basis.scales),
                "gap": float(round(basis.eigenvalues[0] / basis.eigenvalues[1], DIGITS)),
                "cosine": float(round(abs(basis.loadings[0] @ whole), DIGITS)),
            }
        )
    return rows


def _round_all(values: npt.NDArray[np.float64]) -> list[float]:
    return [float(round(value, DIGITS)) for value in values]


def describe_fit(
    measured: Sequence[list[Moments]], studies: Sequence[Study], seed: str
) -> dict[str, Any]:
    """Say what a basis was fitted on.

    Parameters
    ----------
    measured : list of list of Moments
        Of each study.
    studies : list of ingest.study.Study
    seed : str
        Text of the seed.

    Returns
    -------
    dict
    """
    names = [study.path.name for study in studies]
    moments = merge_moments(measured)
    return {
        "basis_id": STANDARD_BASIS,
        "rows_sha256": hash_json(seed.splitlines()),
        "commands": [
            *(f"upscale-audit {verb} {name}" for name in names for verb in ("restore", "run")),
            f"make standard-basis STUDIES='{' '.join(names)}'",
        ],
        "restore": {study.path.name: asdict(study.restore_parameters) for study in studies},
        "patients": len({item.cluster_id for item in moments}),
        "models": _describe_models(moments, studies),
        "stability": compare_patients(moments),
        "images": {
            name: dict(sorted({item.image_id: item.image_sha256 for item in own}.items()))
            for name, own in zip(names, measured, strict=True)
        },
    }


def _describe_models(moments: Sequence[Moments], studies: Sequence[Study]) -> dict[str, Any]:
    declared = {model.model_id: model.restorer for study in studies for model in study.models}
    models = {}
    for model_id in sorted({item.model_id for item in moments}):
        own = [item for item in moments if item.model_id == model_id]
        restorer = declared[model_id]
        models[model_id] = {
            "restorer": None if restorer is None else _describe_restorer(restorer),
            "images": len(own),
            "patients": len({item.cluster_id for item in own}),
            "blocks": sum(item.block_count for item in own),
            "restored_sha256": hash_json([[item.image_id, item.restored_sha256] for item in own]),
        }
    return models


def _describe_restorer(restorer: Any) -> dict[str, Any]:
    """Give a declaration's values; of a file its name, for folders differ between machines."""
    return {
        name: value.name if isinstance(value, Path) else value
        for name, value in asdict(restorer).items()
        if value is not None
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit the standard basis to the studies that are named, and write seed and manifest."""
    parser = argparse.ArgumentParser(
        prog="python -m upscale_audit.warehouse.standard", description=__doc__
    )
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY.toml")
    parser.add_argument("--seed", type=Path, default=SEED, help="the seed to write")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="what it was fitted on")
    options = parser.parse_args(arguments)
    try:
        studies = [load_study(path) for path in options.studies]
        measured = [
            [item for item in read_moments(study) if item.model_id in study.axis_models]
            for study in studies
        ]
        moments = merge_moments(measured)
    except StudyError as error:
        sys.stderr.write(f"standard-basis: {error}\n")
        return 1
    seed = format_seed(fit_basis(moments))
    fit = describe_fit(measured, studies, seed)
    write_text(options.seed, seed)
    write_text(options.manifest, json.dumps(fit, indent=1) + "\n")
    sys.stdout.write(format_table(fit["stability"]))
    return 0


def format_table(stability: Sequence[Mapping[str, Any]]) -> str:
    """Lay out `compare_patients` as Markdown."""
    head = ["patients", "images", *FEATURES, "gap", "cos"]
    lines = [f"| {' | '.join(head)} |", f"|{'---:|' * len(head)}"]
    for row in stability:
        loadings = [f"{value:.4f}" for value in row["loadings"]]
        cells = [row["patients"], row["images"], *loadings, f"{row['gap']:.3f}"]
        lines.append(f"| {' | '.join(map(str, cells))} | {row['cosine']:.6f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
