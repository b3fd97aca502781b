"""Figure of paired comparisons: every model less the baseline, quantity by quantity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.intervals import facet_intervals
from upscale_audit.analysis.figures.lesions import encode_evidence, judge_difference
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


TITLE = "How each model differs from the baseline on the same images"
# Quantity: its name and unit, what lies above 0.
QUANTITIES = {
    "local_ssim": ("Block SSIM (dimensionless)", "more similar"),
    "psnr": ("PSNR (dB)", "closer"),
    "mse_dn2": ("Squared error (dn\u00b2)", "larger errors"),
    "invented_dn2": ("Invented (dn\u00b2) [OWN]", "more invented"),
    "lost_dn2": ("Lost (dn\u00b2) [OWN]", "more lost"),
    "axis1": ("Axis1 (dimensionless) [OWN]", "more contrast and detail"),
    "d_sharp": ("Sharpness (dimensionless) [OWN]", "sharper"),
    "d_noise": ("Noise (dn) [OWN]", "noisier"),
    "d_mu": ("Brightness (dn) [OWN]", "brighter"),
    "lr_contradicted_ratio": ("Blocks contradicted (share)", "more contradicted"),
    "lr_bent_dn2": ("Bent (dn\u00b2) [OWN]", "more bent"),
    "lr_invented_dn2": ("Invented beyond LR (dn\u00b2) [OWN]", "more invented"),
}


def find_baseline(marts: Marts) -> str | None:
    """Name the model that others are compared with; None where the study has it not."""
    rows = marts.rows("select model_id from dim_models where is_baseline")
    return rows[0]["model_id"] if rows else None


def draw_model_pairs(marts: Marts, baseline: str | None) -> alt.FacetChart:
    """Draw the paired difference of each model to the baseline, a panel for each quantity.

    Parameters
    ----------
    marts : analysis.marts.Marts
        May show some of the models alone; the baseline need not be one of them.
    baseline : str or None
        As `find_baseline` names it.

    Returns
    -------
    altair.TopLevelMixin
    """
    if baseline is None:
        message = (
            "No model of this study is the baseline ([parameters] baseline_model);"
            " mart_model_pairs has every pair."
        )
        return theme.draw_message(TITLE, [], message)
    rows = _read_differences(marts, baseline)
    if not rows:
        name = marts.labels[baseline]
        message = f"No other model has an image, restored in the same way, that {name} has."
        return theme.draw_message(TITLE, [], message)
    models = [model for model in marts.models if any(row["model_id"] == model for row in rows)]
    heads = {name: f"{text}\n\u2192 {above}" for name, (text, above) in QUANTITIES.items()}
    level = marts.read_constant("significance")
    for row in rows:
        row["panel"] = heads[row["quantity"]]
        row["evidence"] = judge_difference(row["p_holm"], level)
    without = [model for model in marts.models if model not in (*models, baseline)]
    without = [marts.labels[model] for model in without]
    title = theme.make_title(TITLE, _describe(rows, marts.labels[baseline], without, level))
    encodings = {"x_title": "Model minus baseline", "tick_count": 4}
    encodings |= encode_evidence(rows, level)
    return facet_intervals(
        rows, list(heads.values()), marts.name_models(models), title, encodings, shared=False
    )


def _read_differences(marts: Marts, baseline: str) -> list[dict[str, Any]]:
    """Read the pairs with the baseline, turned so that each is a model less the baseline."""
    name = quote_text(baseline)
    quantities = ", ".join(map(quote_text, QUANTITIES))
    pairs = marts.rows(
        f"select case when model_a = {name} then model_b else model_a end as model_id,"
        f" model_a = {name} as is_turned, inference_path, quantity, cluster_unit, cluster_count,"
        " image_count, difference, difference_low, difference_high, p_holm, family_size"
        " from mart_model_pairs"
        f" where source_id = 'images' and subgroup_kind = 'all' and {name} in (model_a, model_b)"
        f" and quantity in ({quantities}) and difference is not null"
        " order by model_id, inference_path, quantity"
    )
    rows = []
    for pair in pairs:
        ends = [pair.pop(key) for key in ("difference_low", "difference", "difference_high")]
        if pair.pop("is_turned"):
            ends = [None if end is None else -end for end in reversed(ends)]
        if pair["model_id"] in marts.models:
            rows.append(pair | dict(zip(("low", "mean", "high"), ends, strict=True)))
    return rows


def _describe(
    rows: Sequence[dict[str, Any]], baseline: str, without: Sequence[str], level: float
) -> list[str]:
    families = sorted({row["family_size"] for row in rows if row["family_size"] is not None})
    images = theme.count_span([row["image_count"] for row in rows], "image")
    corrected = ""
    if families:
        pairs = theme.count_span(families, "pair")
        corrected = (
            f"Filled: p < {level:g} after Holm's correction for the {pairs} of models of one"
            " quantity and inference path; nothing is corrected over the quantities."
        )
    return [
        f"Image by image, model less {baseline}, both without test-time augmentation or both with"
        " it; mean over a patient's images, then over patients, or over images without a patient."
        f" Each panel has a scale of its own. n = {images} per point.",
        theme.describe_intervals(rows, "low", "a paired t corrected for skewness"),
        corrected,
        "No difference shown is no proof of none: read the interval." if families else "",
        f"Without an image of the same kind: {theme.name_some(without)}." if without else "",
    ]
