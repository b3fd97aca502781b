"""What a report says, read from the marts of a published warehouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


MODELS_SHOWN = 40
"""Rows of the first table; of more models the first in order, and the page says so."""
_MEANS = ("mse_dn2", "local_ssim", "axis1", "invented_dn2", "lost_dn2")
_JUDGED = ("contradicted_ratio", "invented_dn2", "lost_dn2", "bent_dn2")
_ENDS = {
    "contradicted_ratio": ("contradicted_low_ratio", "contradicted_high_ratio"),
    "invented_dn2": ("invented_dn2_low", "invented_dn2_high"),
    "lost_dn2": ("lost_dn2_low", "lost_dn2_high"),
    "bent_dn2": ("bent_dn2_low", "bent_dn2_high"),
}


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; `low` and `high` are None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Row:
    """What is known of a model on one inference path; None where nothing is.

    `invented`, `lost` and `bent` are dn2 a pixel: with an LR image what its rule cannot decide
    and what it can (definitions E.9), without one at scales of 2 to 8 px against the reference
    (E.8), where nothing is known to be bent.
    """

    model_id: str
    label: str
    inference_path: str
    image_count: int
    mse_dn2: Estimate | None
    local_ssim: Estimate | None
    axis1: Estimate | None
    invented_dn2: Estimate | None
    lost_dn2: Estimate | None
    bent_dn2: Estimate | None
    contradicted_ratio: Estimate | None


@dataclass(frozen=True)
class Facts:
    """All that a report's words and tables are made from.

    Attributes
    ----------
    study : dict
        The row of `dim_study`.
    rows : tuple of Row
        The models shown, in the order of figures, and by path.
    model_count, image_count, cluster_count : int
    tested_count : int
        From so many clusters on a difference is tested.
    cluster_unit : str
        patient, image, or mixed: images of unknown patients beside patients.
    has_lr : bool
        Whether any image was held against its LR image.
    is_lr_made : bool
        Whether that was made of the reference again, no LR file being named.
    warnings, coverage : tuple of dict
        Rows of `mart_warnings`, and of `mart_coverage` with each model's `label`.
    """

    study: dict[str, Any]
    rows: tuple[Row, ...]
    model_count: int
    image_count: int
    cluster_count: int
    tested_count: int
    cluster_unit: str
    has_lr: bool
    is_lr_made: bool
    warnings: tuple[dict[str, Any], ...]
    coverage: tuple[dict[str, Any], ...]


Estimates = dict[tuple[str, str], dict[str, Estimate]]
"""By model and inference path, of each quantity that is known."""


def read_facts(marts: Marts) -> Facts:
    """Read what a report says.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    Facts
    """
    (study,) = marts.rows("select * from dim_study")
    (counts,) = marts.rows(
        "select count(*) as images, count(distinct cluster_id) as clusters,"
        " case when min(cluster_unit) <> max(cluster_unit) then 'mixed'"
        " else coalesce(min(cluster_unit), 'image') end as unit from dim_images"
    )
    shown = marts.models[:MODELS_SHOWN]
    (lr,) = marts.rows(
        "select coalesce(bool_or(lr_rule_status = 'unverified'), false) as is_made"
        " from mart_consistency_images where judged_block_count > 0"
    )
    means = _read_means(marts, shown)
    judged = _read_judged(marts, shown)
    coverage = marts.rows("select * from mart_coverage order by model_id, inference_path")
    coverage = [
        row | {"label": marts.labels[row["model_id"]]} for row in marts.order_rows(coverage)
    ]
    rows = [
        _make_row(item, means.get(_own(item), {}), judged.get(_own(item), {}), bool(judged))
        for item in coverage
        if item["model_id"] in shown and item["measured_image_count"]
    ]
    return Facts(
        study=study,
        rows=tuple(rows),
        model_count=len(marts.models),
        image_count=counts["images"],
        cluster_count=counts["clusters"],
        tested_count=int(marts.read_constant("least_tested")),
        cluster_unit=counts["unit"],
        has_lr=bool(judged),
        is_lr_made=lr["is_made"],
        warnings=tuple(marts.rows("select * from mart_warnings order by warning, subject, other")),
        coverage=tuple(coverage),
    )


def _own(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["model_id"], row["inference_path"]


def _read_means(marts: Marts, models: Sequence[str]) -> Estimates:
    if not models:
        return {}
    names, quantities = (", ".join(map(quote_text, texts)) for texts in (models, _MEANS))
    found: Estimates = {}
    for row in marts.rows(
        "select model_id, inference_path, quantity, mean, mean_low, mean_high from mart_model_means"
        f" where source_id = 'images' and subgroup_kind = 'all' and quantity in ({quantities})"
        f" and model_id in ({names}) and mean is not null"
    ):
        estimate = Estimate(row["mean"], row["mean_low"], row["mean_high"])
        found.setdefault(_own(row), {})[row["quantity"]] = estimate
    return found


def _read_judged(marts: Marts, models: Sequence[str]) -> Estimates:
    found: Estimates = {}
    for row in marts.rows("select * from mart_consistency where judged_block_count > 0"):
        if row["model_id"] in models:
            found[_own(row)] = {
                name: Estimate(row[name], *(row[end] for end in _ENDS[name])) for name in _JUDGED
            }
    return found


def _make_row(
    coverage: Mapping[str, Any],
    means: Mapping[str, Estimate],
    judged: Mapping[str, Estimate],
    has_lr: bool,
) -> Row:
    # One page speaks of one split of the error: that of the LR image wherever the study has one.
    split = judged if has_lr else means
    return Row(
        model_id=coverage["model_id"],
        label=coverage["label"],
        inference_path=coverage["inference_path"],
        image_count=coverage["measured_image_count"],
        mse_dn2=means.get("mse_dn2"),
        local_ssim=means.get("local_ssim"),
        axis1=means.get("axis1"),
        invented_dn2=split.get("invented_dn2"),
        lost_dn2=split.get("lost_dn2"),
        bent_dn2=judged.get("bent_dn2"),
        contradicted_ratio=judged.get("contradicted_ratio"),
    )
