"""Figures of lesions: whether blocks inside a finding's box are changed otherwise than the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.axis import PATH_COLOURS
from upscale_audit.analysis.figures.intervals import facet_intervals
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


TITLE = "Blocks inside a finding's box against the rest of the same image"
# Quantity: short name, name and unit, what lies above 0.
QUANTITIES = {
    "local_ssim": ("SSIM", "Block SSIM (dimensionless)", "more similar inside"),
    "mse_dn2": ("squared error", "Squared error (dn²)", "larger errors inside"),
    "abs_pc1": ("|PC1|", "|PC1| (dimensionless) [OWN]", "farther from the origin inside"),
}
# How a difference is filled that is shown, one that is not, and one that was not tested.
FILLS = (theme.BLACK, "#FFFFFF", theme.NULL_GREY)
UNION = "any"
MOST_FINDINGS, FINDING_CHARACTERS = 14, 34


def plan_lesion_figures(marts: Marts) -> dict[str, str | None]:
    """Say which figures of lesions a study has.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    dict
        Quantity drawn, by the figure's name; None stands for one line that says why there is
        nothing to draw.
    """
    if _find_reason(marts) is not None:
        return {"lesion_risk": None}
    return {f"lesion_risk_{quantity}": quantity for quantity in QUANTITIES}


def draw_lesion_risk(marts: Marts, quantity: str | None) -> alt.Chart:
    """Draw the difference of a quantity inside less outside, by finding and model.

    Parameters
    ----------
    marts : analysis.marts.Marts
    quantity : str or None
        A key of `QUANTITIES`; None draws the reason why there is no figure.

    Returns
    -------
    altair.TopLevelMixin
    """
    if quantity is None:
        return theme.draw_message(TITLE, [], _find_reason(marts) or "")
    short, name, above = QUANTITIES[quantity]
    rows = marts.rows(
        "select model_id, inference_path, finding, cluster_unit, cluster_count, image_count,"
        " inside_block_count, difference as mean, difference_low as low, difference_high as high,"
        " p_holm, family_size from mart_lesion_risk"
        f" where quantity = {quote_text(quantity)} and difference is not null"
        " order by finding, model_id, inference_path"
    )
    patients = _count_patients(rows)
    tested = {row["finding"] for row in rows if row["low"] is not None}
    most = sorted(tested - {UNION}, key=lambda finding: (-patients[finding], finding))
    order = [*sorted(tested & {UNION}), *sorted(most[:MOST_FINDINGS])]
    drawn = [row for row in rows if row["finding"] in order]
    if not drawn:
        message = f"{name}: no block inside a box and outside has a value."
        return theme.draw_message(TITLE, [], message)
    heads = {finding: _head_panel(finding, patients[finding]) for finding in order}
    level = marts.read_constant("significance")
    for row in drawn:
        row["panel"] = heads[row["finding"]]
        row["evidence"] = judge_difference(row["p_holm"], level)
    few = {finding: n for finding, n in patients.items() if finding not in tested}
    return facet_intervals(
        drawn,
        list(heads.values()),
        marts.name_models(
            [model for model in marts.models if any(row["model_id"] == model for row in drawn)]
        ),
        theme.make_title(
            f"{TITLE}: {short}",
            [*_describe(drawn, few, (name, above), level), _count_findings(len(most))],
        ),
        {"x_title": "Inside minus outside", "tick_count": 4, **encode_evidence(drawn, level)},
    )


def _find_reason(marts: Marts) -> str | None:
    """Why there is nothing to draw, or None."""
    (row,) = marts.rows(
        "select count(*) as row_count, coalesce(max(cluster_count), 0) as patients,"
        " count(difference_low) as interval_count from mart_lesion_risk"
    )
    if not row["row_count"]:
        return "No image of this study has a finding box ([labels] boxes names the list)."
    if not row["patients"]:
        return "No block inside a finding's box was measured."
    if not row["interval_count"]:
        patients = theme.count_noun(row["patients"], "patient")
        return (
            f"Finding boxes of {patients} are too few for an interval or a test:"
            " mart_lesion_risk holds the differences."
        )
    return None


def _count_patients(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["finding"]] = max(row["cluster_count"], counts.get(row["finding"], 0))
    return counts


def _head_panel(finding: str, patients: int) -> str:
    name = "any finding (union of boxes)" if finding == UNION else finding
    name = theme.break_label(name, FINDING_CHARACTERS)
    return f"{name}\n{patients:,} patients"


def _count_findings(count: int) -> str:
    if count <= MOST_FINDINGS:
        return ""
    return (
        f"Drawn are the {MOST_FINDINGS} of {count:,} findings with the most patients;"
        " mart_lesion_risk holds all."
    )


def judge_difference(p_holm: float | None, level: float) -> str:
    """Name the evidence for a difference: its corrected p, None where it was not tested."""
    if p_holm is None:
        return "no test"
    return f"corrected p < {level:g}" if p_holm < level else f"corrected p \u2265 {level:g}"


def encode_evidence(rows: Sequence[dict[str, Any]], level: float) -> dict[str, Any]:
    """Encode differences by their `evidence` and, where there are both, by inference path.

    Parameters
    ----------
    rows : list of dict
        With inference_path and evidence, as `judge_difference` names it at this `level`.
    level : float

    Returns
    -------
    dict
        Altair encodings.
    """
    fills = dict(zip((judge_difference(p, level) for p in (0, 1, None)), FILLS, strict=True))
    paths = [name for name in PATH_COLOURS if any(row["inference_path"] == name for row in rows)]
    evidence = [name for name in fills if any(row["evidence"] == name for row in rows)]
    encodings = {
        "fill": alt.Fill(
            "evidence:N",
            title="Difference from 0:",
            scale=alt.Scale(domain=evidence, range=[fills[name] for name in evidence]),
            legend=alt.Legend(symbolStrokeColor=theme.BLACK),
        ),
    }
    if len(paths) > 1:
        encodings["color"] = alt.Color(
            "inference_path:N",
            title="Inference path:",
            scale=alt.Scale(domain=paths, range=[PATH_COLOURS[name] for name in paths]),
            legend=alt.Legend(symbolType="stroke"),
        )
        encodings["yOffset"] = alt.YOffset("inference_path:N", scale=alt.Scale(domain=paths))
    return encodings


def _describe(
    rows: Sequence[dict[str, Any]],
    few: Mapping[str, int],
    heading: tuple[str, str],
    level: float,
) -> list[str]:
    name, above = heading
    family = max((row["family_size"] or 0 for row in rows), default=0)
    units = {row["cluster_unit"] for row in rows}
    unit = "patients" if units == {"patient"} else "patients, or images without one"
    blocks = theme.count_span([row["inside_block_count"] for row in rows], "block")
    images = theme.count_span([row["image_count"] for row in rows], "image")
    return [
        f"{name}: mean over {unit} of blocks inside the boxes less blocks of the same images in"
        f" no box; above 0: {above}. n = {images}, {blocks} inside per point.",
        "Bars: 95 % intervals of a paired t over patients, corrected for skewness. Filled:"
        f" p < {level:g}"
        + (f" after Holm's correction for {theme.count_noun(family, 'finding')}" if family else "")
        + "; the union of all boxes is a family of its own.",
        "Boxed regions differ from the rest in anatomy and texture, too: only a difference that"
        " the baseline does not have is a model's (mart_lesion_risk.excess).",
        "Too few patients to draw: "
        + theme.name_some([f"{finding} ({count})" for finding, count in sorted(few.items())])
        + "."
        if few
        else "",
    ]
