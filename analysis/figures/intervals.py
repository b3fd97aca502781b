"""Figures of means and their intervals: what changed by how much, model by model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


POLARITIES = {
    "positive": (theme.VERMILLION, "triangle-up"),
    "zero": (theme.GREY, "circle"),
    "negative": (theme.BLUE, "triangle-down"),
}
EVIDENCE = {
    "interval excludes 0": theme.BLACK,
    "interval includes 0": "#FFFFFF",
    "no interval": theme.NULL_GREY,
}
DIRECTIONS_TITLE = "What restored blocks gained and lost, on either side of Axis1"
EFFECT_TITLE = "What test-time augmentation changed in the same blocks"
AGAINST_LR = {
    "lr_contradicted_px": "Contradicted LR pixels (a block)\n→ more contradicted",
    "lr_bent_dn2": "Bent (dn²)\n→ more that the LR image refutes",
    "lr_invented_dn2": "Invented (dn²)\n→ more that it cannot hold",
    "lr_lost_dn2": "Lost (dn²)\n→ more missing that it could not hold",
}
COLUMNS = 3


def draw_direction_components(marts: Marts) -> alt.FacetChart:
    """Draw the mean of each direction component by polarity and model, with intervals.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select model_id, polarity, component, cluster_unit, cluster_count, block_count,"
        " measured_count, robust_sd, standardised_mean as mean, mean_low / robust_sd as low,"
        " mean_high / robust_sd as high"
        " from mart_direction_components order by model_id, polarity, component"
    )
    unit = (
        "Mean over blocks restored without test-time augmentation, restored minus reference, in"
        f" robust spreads (interquartile range / {marts.read_constant('normal_iqr')} of the"
        " component over the axis models' notta blocks)."
    )
    drawn = [row for row in rows if row["mean"] is not None]
    if not drawn:
        reason = "No block has a polarity: Axis1 is not identifiable in this study."
        if rows:
            reason = "No component has a robust spread: half of its values or more are equal."
        return theme.draw_message(DIRECTIONS_TITLE, [unit], reason)
    components = marts.read_components()
    caption = [
        unit,
        _count_blocks(drawn),
        theme.describe_intervals(drawn, "low"),
        _name_undrawn(rows, components),
    ]
    panels = {part["component"]: _make_header(part) for part in components}
    for row in drawn:
        row["panel"] = panels[row["component"]]
    return facet_intervals(
        drawn,
        list(panels.values()),
        marts.name_models(marts.models),
        theme.make_title(DIRECTIONS_TITLE, caption),
        {"x_title": "Mean, in robust spreads", "tick_count": 7, **_encode_polarity(drawn)},
    )


def draw_tta_effect(marts: Marts) -> alt.FacetChart:
    """Draw the mean change that test-time augmentation made, by quantity and model.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select model_id, quantity, cluster_unit, cluster_count, pair_count, mean_change as mean,"
        " change_low as low, change_high as high from mart_tta_effect order by model_id, quantity"
    )
    unit = (
        "Mean over blocks measured both ways, with minus without augmentation, each quantity in"
        " its own unit (dn: grey levels of 0 to 255)."
    )
    drawn = [row for row in rows if row["mean"] is not None]
    drawn_models = {row["model_id"] for row in drawn}
    without = [model for model in marts.models if model not in drawn_models]
    if not drawn:
        return theme.draw_message(
            EFFECT_TITLE, [unit], f"No model has augmented images: {marts.list_labels(without)}."
        )
    panels = _name_quantities(marts)
    for row in drawn:
        row["panel"] = panels[row["quantity"]]
        row["evidence"] = _judge(row)
    models = [model for model in marts.models if model not in without]
    evidence = [name for name in EVIDENCE if any(row["evidence"] == name for row in drawn)]
    fill = alt.Fill(
        "evidence:N",
        title=None,
        scale=alt.Scale(domain=evidence, range=[EVIDENCE[name] for name in evidence]),
    )
    return facet_intervals(
        drawn,
        list(panels.values()),
        marts.name_models(models),
        theme.make_title(
            EFFECT_TITLE, [unit, *_describe_effects(drawn, panels, marts.list_labels(without))]
        ),
        {"x_title": "Mean change, tta minus notta", "tick_count": 4, "fill": fill},
        shared=False,
    )


def _describe_effects(
    rows: Sequence[dict[str, Any]], panels: Mapping[str, str], without: str
) -> list[str]:
    pairs = theme.count_span([row["pair_count"] for row in rows], "block")
    known = {row["quantity"] for row in rows}
    missing = [name.split("\n")[0] for key, name in panels.items() if key not in known]
    return [
        f"n = {pairs} per point.",
        theme.describe_intervals(rows, "low"),
        f"Not drawn, for they have no augmented images: {without}." if without else "",
        f"Without a value: {', '.join(missing)}." if missing else "",
    ]


def _judge(row: Mapping[str, Any]) -> str:
    if row["low"] is None:
        return "no interval"
    return "interval includes 0" if row["low"] <= 0 <= row["high"] else "interval excludes 0"


def _name_quantities(marts: Marts) -> dict[str, str]:
    names = {
        "local_ssim": "Block SSIM (dimensionless)\n→ more similar",
        "abs_pc1": "|PC1| (dimensionless)\n→ farther from the axis's origin",
    }
    for part in marts.read_components():
        names[part["column_stem"]] = f"{part['label']} ({part['unit']})\n→ {part['positive_means']}"
    (row,) = marts.rows("select count(*) as rows from mart_consistency")
    return names | (AGAINST_LR if row["rows"] else {})


def _make_header(component: Mapping[str, str]) -> str:
    return f"{component['label']}\n← {component['negative_means']}\n→ {component['positive_means']}"


def _count_blocks(rows: Sequence[dict[str, Any]]) -> str:
    totals: dict[tuple[str, str], int] = {}
    for row in rows:
        key = row["model_id"], row["polarity"]
        totals[key] = max(row["measured_count"], totals.get(key, 0))
    models = len({row["model_id"] for row in rows})
    counts = theme.count_span(list(totals.values()), "block")
    return f"n = {counts} per model and polarity, {theme.count_noun(models, 'model')}."


def _name_undrawn(rows: Sequence[dict[str, Any]], components: Sequence[dict[str, str]]) -> str:
    """Name what has no standardised mean, and say why."""
    labels = {part["component"]: part["label"] for part in components}
    flat = {row["component"] for row in rows if row["robust_sd"] is None}
    empty = {
        row["component"] for row in rows if row["mean"] is None and row["component"] not in flat
    }
    text = ""
    if flat:
        names = ", ".join(labels[name] for name in labels if name in flat)
        text = f"Not drawn, for half of its values or more are equal (no spread): {names}."
    if empty:
        names = ", ".join(labels[name] for name in labels if name in empty)
        text += f" Where a point is missing, no block has a value: {names}."
    return text.strip()


def _encode_polarity(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = [name for name in POLARITIES if any(row["polarity"] == name for row in rows)]
    colours = alt.Scale(domain=names, range=[POLARITIES[name][0] for name in names])
    shapes = alt.Scale(domain=names, range=[POLARITIES[name][1] for name in names])
    return {
        "color": alt.Color("polarity:N", title="Sign of Axis1:", scale=colours),
        "fill": alt.Fill("polarity:N", title="Sign of Axis1:", scale=colours),
        "shape": alt.Shape("polarity:N", title="Sign of Axis1:", scale=shapes),
        "yOffset": alt.YOffset("polarity:N", scale=alt.Scale(domain=names)),
    }


def _draw_rows(
    rows: Sequence[dict[str, Any]],
    models: Mapping[str, str],
    x_title: str,
    tick_count: int,
    **encodings: alt.TopLevelMixin,
) -> alt.LayerChart:
    """Draw a zero line, intervals and points, one row per model."""
    for row in rows:
        row["model"] = theme.break_label(models[row["model_id"]])
    order = [theme.break_label(label) for label in models.values()]
    y = alt.Y(
        "model:N",
        sort=order,
        title=None,
        scale=alt.Scale(domain=order),
        axis=theme.make_model_axis(grid=True),
    )
    # An axis starts a little outside its data, or an end point would be cut in half.
    x = {
        "title": x_title,
        "axis": alt.Axis(tickCount=tick_count, grid=True, labelBound=True),
        "scale": alt.Scale(nice=False, padding=10),
    }
    base = alt.Chart(theme.make_data(rows))
    bars = {key: encodings[key] for key in ("color", "yOffset") if key in encodings}
    zero = base.mark_rule(color="#888888", strokeWidth=0.75).encode(x=alt.XDatum(0, **x))
    interval = (
        base.transform_filter("isValid(datum.low) && isValid(datum.high)")
        .mark_rule(strokeWidth=1.1, color=theme.BLACK)
        .encode(x=alt.X("low:Q", **x), x2="high:Q", y=y, **bars)
    )
    points = base.mark_point(size=16, strokeWidth=0.8, color=theme.BLACK, opacity=1).encode(
        x=alt.X("mean:Q", **x), y=y, **encodings
    )
    return alt.layer(zero, interval, points)


def facet_intervals(
    rows: Sequence[dict[str, Any]],
    panels: Sequence[str],
    models: Mapping[str, str],
    title: alt.TitleParams,
    encodings: Mapping[str, Any],
    shared: bool = True,
) -> alt.FacetChart:
    """Draw points with their intervals, one panel per quantity and one row per model.

    Parameters
    ----------
    rows : list of dict
        model_id, panel, mean, low and high (None: no interval), and what `encodings` name.
    panels : list of str
        Heads in their order; those without a row are left out.
    models : dict
        Label by model_id, in their order.
    title : altair.TitleParams
    encodings : dict
        x_title, tick_count, and channels of the points.
    shared : bool
        Whether all panels have one horizontal scale.

    Returns
    -------
    altair.FacetChart
    """
    labels = [theme.break_label(label) for label in models.values()]
    room = theme.DOUBLE_COLUMN_PT - theme.label_width(labels) - 10 * (COLUMNS - 1) - 12
    drawn = {row["panel"] for row in rows}
    panels = [panel for panel in panels if panel in drawn]
    faceted = (
        _draw_rows(rows, models, **encodings)
        .properties(
            width=round(room / COLUMNS),
            height=round(
                len(models) * theme.row_height(labels, 15 if "yOffset" in encodings else 12)
            ),
        )
        .facet(
            facet=alt.Facet("panel:N", sort=panels, title=None),
            columns=min(COLUMNS, len(panels)),
            spacing=alt.RowColnumber(row=10, column=10),
            title=title,
        )
    )
    if not shared:
        return faceted.resolve_scale(x="independent")
    # Vega would draw a shared axis under the empty places of an unfilled last row.
    return faceted.resolve_axis(x="independent") if len(panels) % COLUMNS else faceted
