"""Figures of regions: what each model did in lungs, heart, body and background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.axis import PATH_COLOURS
from upscale_audit.analysis.figures.intervals import facet_intervals
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


TITLE = "What models did in each region"
# Quantity: short name, name and unit.
QUANTITIES = {
    "mse_dn2": ("squared error", "Squared error (dn²)"),
    "invented_dn2": ("invented", "Invented (dn²) [OWN]"),
    "axis1": ("Axis1", "Axis1 (dimensionless) [OWN]"),
}


def plan_region_figures(marts: Marts) -> dict[str, str]:
    """Say which figures of regions a study has.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    dict
        Quantity drawn, by the figure's name; empty where no two regions can be compared.
    """
    (row,) = marts.rows("select count(difference_low) as compared from mart_regions")
    return {f"regions_{quantity}": quantity for quantity in QUANTITIES} if row["compared"] else {}


def draw_regions(marts: Marts, quantity: str) -> alt.TopLevelMixin:
    """Draw a quantity's mean in each region, by model.

    Parameters
    ----------
    marts : analysis.marts.Marts
    quantity : str
        A key of `QUANTITIES`.

    Returns
    -------
    altair.TopLevelMixin
    """
    short, name = QUANTITIES[quantity]
    rows = marts.rows(
        "select model_id, inference_path, region, cluster_unit, image_count, block_count, mean,"
        " mean_low as low, mean_high as high"
        " from mart_regions inner join dim_regions using (region)"
        f" where quantity = {quote_text(quantity)} and mean is not null"
        # Structures as the study has them, then the body outside, then the background.
        " order by is_structure desc, if(is_structure, region_code, -region_code), model_id,"
        " inference_path"
    )
    title = f"{TITLE}: {short}"
    if not rows:
        return theme.draw_message(title, [], f"{name}: no block has a value.")
    for row in rows:
        row["panel"] = row["region"]
    return facet_intervals(
        rows,
        list(dict.fromkeys(row["panel"] for row in rows)),
        marts.name_models(
            [model for model in marts.models if any(row["model_id"] == model for row in rows)]
        ),
        theme.make_title(title, _describe(rows, name, marts.read_constant("least_tested"))),
        {"x_title": f"Mean{' (dn²)' if 'dn²' in name else ''}", "tick_count": 4, **_encode(rows)},
    )


def _encode(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Encode the inference path, where there are both."""
    paths = [name for name in PATH_COLOURS if any(row["inference_path"] == name for row in rows)]
    if len(paths) == 1:
        return {"fill": alt.value(theme.BLACK)}
    scale = alt.Scale(domain=paths, range=[PATH_COLOURS[name] for name in paths])
    return {
        "color": alt.Color("inference_path:N", title="Inference path:", scale=scale),
        "fill": alt.Fill("inference_path:N", title="Inference path:", scale=scale),
        "yOffset": alt.YOffset("inference_path:N", scale=alt.Scale(domain=paths)),
    }


def _describe(rows: Sequence[dict[str, Any]], name: str, tested: float) -> list[str]:
    units = {row["cluster_unit"] for row in rows}
    unit = "patients" if units == {"patient"} else "patients, or images without one"
    blocks = theme.count_span([row["block_count"] for row in rows], "block")
    images = theme.count_span([row["image_count"] for row in rows], "image")
    lacking = any(row["low"] is None for row in rows)
    return [
        f"{name}: mean over {unit} of the mean over an image's blocks whose pixels are mostly of"
        f" the region. n = {images}, {blocks} per point.",
        "Bars: 95 % intervals of a t over patients, corrected for skewness"
        + (
            f"; none where fewer than {tested:g} have the region, or all are equal."
            if lacking
            else "."
        ),
        "Regions differ in texture, and any restorer with them: what of a difference is a model's"
        " own is its excess over the baseline's (mart_regions.excess).",
    ]
