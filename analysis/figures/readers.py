"""Figures of readers: whether a network that reads radiographs says the same after restoration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.intervals import facet_intervals
from upscale_audit.analysis.figures.lesions import (
    FINDING_CHARACTERS,
    MOST_FINDINGS,
    encode_evidence,
    judge_difference,
)
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


# What is drawn, by the figure's name: title, the axis, and columns of mart_reading_effect.
MEASURES: dict[str, dict[str, str]] = {
    "areas": {
        "title": "What restoration changes in how well {reader} tells findings",
        "x_title": "AUC, restored minus reference",
        "mean": "auc_difference",
        "low": "auc_difference_low",
        "high": "auc_difference_high",
        "p_holm": "p_holm",
        "family_size": "family_size",
    },
    "flips": {
        "title": "How often {reader} calls the restored image otherwise than its reference",
        "x_title": "Share of images called otherwise",
        "mean": "flip_ratio",
        "low": "flip_low_ratio",
        "high": "flip_high_ratio",
        "p_holm": "flip_p_holm",
        "family_size": "flip_family_size",
    },
}


def plan_reader_figures(marts: Marts) -> dict[str, tuple[str, str]]:
    """Say which figures of readers a study has.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    dict
        Reader and key of `MEASURES`, by the figure's name; empty where nothing was read.
    """
    rows = marts.rows(
        "select reader from mart_reading_effect"
        " where auc_difference is not null or flip_ratio is not null"
        " group by reader order by reader"
    )
    return {
        f"readers_{measure}_{row['reader']}": (row["reader"], measure)
        for row in rows
        for measure in MEASURES
    }


def draw_readers(marts: Marts, reader: str, measure: str) -> alt.Chart:
    """Draw what a reader says of restored images, by finding and model.

    Parameters
    ----------
    marts : analysis.marts.Marts
    reader : str
    measure : {"areas", "flips"}
        Differences of areas under the ROC curve, or calls that turned over.

    Returns
    -------
    altair.TopLevelMixin
    """
    facts = MEASURES[measure]
    rows = marts.rows(
        "select model_id, inference_path, finding, cluster_unit, positive_count, image_count,"
        " positive_cluster_count, negative_cluster_count, called_count, flip_count, gained_count,"
        f" lost_count, {facts['mean']} as mean, {facts['low']} as low, {facts['high']} as high,"
        f" {facts['p_holm']} as p_holm, {facts['family_size']} as family_size"
        f" from mart_reading_effect where reader = {quote_text(reader)}"
        f" and {facts['mean']} is not null order by finding, model_id, inference_path"
    )
    title = facts["title"].format(reader=reader)
    if not rows:
        return theme.draw_message(title, [], "No finding has labels of both kinds.")
    positives: dict[str, int] = {}
    for row in rows:
        most_so_far = positives.get(row["finding"], 0)
        positives[row["finding"]] = max(row["positive_count"], most_so_far)
    most = sorted(positives, key=lambda finding: (-positives[finding], finding))[:MOST_FINDINGS]
    heads = {finding: _head_panel(finding, positives[finding]) for finding in sorted(most)}
    drawn = [row for row in rows if row["finding"] in heads]
    level = marts.read_constant("significance")
    for row in drawn:
        row["panel"] = heads[row["finding"]]
        row["evidence"] = judge_difference(row["p_holm"], level)
    models = [model for model in marts.models if any(row["model_id"] == model for row in drawn)]
    describe = _describe_areas if measure == "areas" else _describe_flips
    caption = [*describe(drawn, level), _count_findings(len(positives))]
    encodings = encode_evidence(drawn, level)
    if measure == "flips":
        # Of a share, the test is of its two directions.
        encodings["fill"].title = "As many gained as lost:"
    return facet_intervals(
        drawn,
        list(heads.values()),
        marts.name_models(models),
        theme.make_title(title, caption),
        {"x_title": facts["x_title"], "tick_count": 4, **encodings},
    )


def _head_panel(finding: str, positive_count: int) -> str:
    name = theme.break_label(finding, FINDING_CHARACTERS)
    return f"{name}\n{theme.count_noun(positive_count, 'image')} labelled with it"


def _describe_areas(rows: Sequence[Mapping[str, Any]], level: float) -> list[str]:
    images = theme.count_span([row["image_count"] for row in rows], "image")
    without = sum(row["low"] is None for row in rows)
    return [
        "Area under the ROC curve against the labels, restored images minus their references;"
        f" below 0: findings are told worse. n = {images} per point.",
        f"Bars: 95 % intervals by {_name_unit(rows)} (clustered DeLong)."
        f" Filled: p < {level:g}{_name_family(rows)}.",
        f"{theme.count_noun(without, 'point')} without a bar: too few patients with the finding or"
        " without it, or nothing differs."
        if without
        else "",
        _WARNING,
    ]


def _describe_flips(rows: Sequence[Mapping[str, Any]], level: float) -> list[str]:
    images = theme.count_span([row["called_count"] for row in rows], "image")
    total, gained = (sum(row[name] for row in rows) for name in ("flip_count", "gained_count"))
    return [
        "Share of images that are called otherwise than their reference, at the limit where the"
        f" references are told apart best. n = {images} per point. Of"
        f" {theme.count_noun(total, 'call')} that turned over, {gained:,} became positive and"
        f" {total - gained:,} negative.",
        f"Bars: 95 % intervals by {_name_unit(rows)}. Filled: calls lean to one side, p < {level:g}"
        f" by a sign-flip test over patients{_name_family(rows)}.",
        _WARNING,
    ]


_WARNING = "The reader is a network: what it says is no radiologist's word."


def _name_unit(rows: Sequence[Mapping[str, Any]]) -> str:
    units = {row["cluster_unit"] for row in rows}
    return "patient" if units == {"patient"} else "patient, or image without one"


def _name_family(rows: Sequence[Mapping[str, Any]]) -> str:
    family = max((row["family_size"] or 0 for row in rows), default=0)
    return f" after Holm's correction for {theme.count_noun(family, 'finding')}" if family else ""


def _count_findings(count: int) -> str:
    if count <= MOST_FINDINGS:
        return ""
    return (
        f"Drawn are the {MOST_FINDINGS} of {count:,} findings that most images have;"
        " mart_reading_effect holds all."
    )
