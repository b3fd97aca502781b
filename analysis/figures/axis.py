"""Figures of the axis itself: how its scores are spread, and what it is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme
from upscale_audit.analysis.marts import ORIGIN

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


DISTRIBUTION_TITLE = "Distribution of Axis1"
BASIS_TITLE = "The axis: loadings, spectrum and how far the models share it"
COMPONENTS_DRAWN = 3
SMALL_PANEL_PT, SPECTRUM_PT = 100, 190
PATH_COLOURS = {"notta": theme.BLACK, "tta": theme.GREEN}


def draw_axis1_distribution(marts: Marts) -> alt.FacetChart:
    """Draw the distribution of Axis1 by model and inference path.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    bins = marts.read_constant("axis1_bins")
    rows = marts.rows(
        f"select model_id, inference_path, cast(round(bin_low * {bins:g}) as integer) as bin,"
        " block_count, 100 * block_ratio as block_pct"
        " from mart_axis1_distribution order by model_id, inference_path, bin_low"
    )
    unit = (
        f"Share of a model's blocks in bins of {1 / bins:g} of Axis1 = sign(PC1) ln(1 + |PC1|)"
        f" (dimensionless). 0: {ORIGIN}; above it blocks gained contrast and detail, below they"
        f" lost them. {marts.describe_axis()}"
    )
    if not rows:
        return theme.draw_message(
            DISTRIBUTION_TITLE, [unit], "No block has a score: Axis1 is not identifiable."
        )
    paths = [name for name in PATH_COLOURS if any(row["inference_path"] == name for row in rows)]
    models = [model for model in marts.models if any(row["model_id"] == model for row in rows)]
    columns = min(3, len(models))
    width = round((theme.DOUBLE_COLUMN_PT - 44 - 10 * (columns - 1)) / columns)
    headers = {model: _head_panel(rows, model, marts.labels[model]) for model in models}
    faceted = (
        _layer_curves(rows, headers, paths, 1 / bins)
        .properties(width=width, height=84)
        .facet(
            facet=alt.Facet("model:N", sort=list(headers.values()), title=None),
            columns=columns,
            spacing=alt.RowColnumber(row=8, column=10),
            title=theme.make_title(DISTRIBUTION_TITLE, [unit, *_count_curves(marts, rows, models)]),
        )
    )
    # Vega would draw a shared axis under the empty places of an unfilled last row.
    return faceted.resolve_axis(x="independent") if len(models) % columns else faceted


def _count_curves(marts: Marts, rows: Sequence[dict[str, Any]], models: Sequence[str]) -> list[str]:
    totals: dict[tuple[str, str], int] = {}
    for row in rows:
        key = row["model_id"], row["inference_path"]
        totals[key] = totals.get(key, 0) + row["block_count"]
    without = [model for model in models if (model, "tta") not in totals]
    unscored = [model for model in marts.models if model not in models]
    return [
        f"n = {theme.count_span(list(totals.values()), 'block')} per curve.",
        "Cut off, its share beside it: the bin that begins at 0." if _find_top(rows) else "",
        f"Without augmented images: {marts.list_labels(without)}."
        if 0 < len(without) < len(models)
        else "",
        f"Not drawn, for no block has a score: {marts.list_labels(unscored)}." if unscored else "",
    ]


def _layer_curves(
    rows: Sequence[dict[str, Any]],
    headers: Mapping[str, str],
    paths: Sequence[str],
    bin_width: float,
) -> alt.LayerChart:
    colour = alt.Color(
        "inference_path:N",
        title="Inference path:",
        scale=alt.Scale(domain=paths, range=[PATH_COLOURS[name] for name in paths]),
        legend=alt.Legend(symbolType="stroke"),
    )
    curves = alt.Chart(theme.make_data(_fill_bins(rows, headers, bin_width)))
    top = _find_top(rows)
    x = alt.X("axis1:Q", title="Axis1 (dimensionless)", axis=alt.Axis(tickCount=6))
    y = alt.Y(
        "block_pct:Q",
        title="Blocks (%)",
        axis=alt.Axis(tickCount=4),
        stack=None,
        scale=alt.Scale() if top is None else alt.Scale(domain=[0, top], nice=False),
    )
    area = (
        curves.transform_filter("datum.inference_path === 'notta'")
        .mark_area(interpolate="step", color=theme.PALE_GREY, opacity=0.7, clip=True)
        .encode(x=x, y=y)
    )
    lines = curves.mark_line(interpolate="step", strokeWidth=1, clip=True)
    lines = lines.encode(x=x, y=y, color=colour)
    zero = curves.mark_rule(color="#888888", strokeWidth=0.75).encode(x=alt.datum(0))
    return alt.layer(area, zero, lines, *([] if top is None else [_name_cut(curves, top, x)]))


def _find_top(rows: Sequence[dict[str, Any]]) -> float | None:
    """Find where to cut the bin that begins at 0, of which unchanged blocks can fill nearly all.

    None where nothing is cut: it is at most twice as tall as any other.
    """
    at_zero = max((row["block_pct"] for row in rows if row["bin"] == 0), default=0)
    others = max((row["block_pct"] for row in rows if row["bin"] != 0), default=0)
    return 1.15 * others if at_zero > 2 * others > 0 else None


def _name_cut(curves: alt.Chart, top: float, x: alt.X) -> alt.Chart:
    """Write beside a bin that is cut what it holds."""
    return (
        curves.transform_filter(f"datum.inference_path === 'notta' && datum.block_pct > {top}")
        .transform_calculate(text="format(datum.block_pct, '.1f') + ' %'")
        .mark_text(align="left", baseline="top", dx=4, dy=1)
        .encode(x=x, y=alt.value(0), text="text:N")
    )


def _fill_bins(
    rows: Sequence[dict[str, Any]], headers: Mapping[str, str], bin_width: float
) -> list[dict[str, Any]]:
    """Add the empty bins, so that no line bridges a gap, and one at each end."""
    known = {(row["model_id"], row["inference_path"], row["bin"]): row for row in rows}
    first = min(row["bin"] for row in rows) - 1
    last = max(row["bin"] for row in rows) + 1
    curves = sorted({key[:2] for key in known})
    return [
        {
            "model": headers[model],
            "inference_path": path,
            "axis1": round((number + 0.5) * bin_width, 2),
            "block_pct": known[model, path, number]["block_pct"]
            if (model, path, number) in known
            else 0,
        }
        for model, path in curves
        if model in headers
        for number in range(first, last + 1)
    ]


def _head_panel(rows: Sequence[dict[str, Any]], model: str, label: str) -> str:
    shares = []
    for path in PATH_COLOURS:
        bins = [row for row in rows if (row["model_id"], row["inference_path"]) == (model, path)]
        if bins:
            above = math.fsum(row["block_pct"] for row in bins if row["bin"] >= 0)
            shares.append(f"{path} {above:.1f} %")
    return f"{theme.break_label(label, 26)}\nAxis1 \u2265 0: {', '.join(shares)}"


def draw_pca_basis(marts: Marts) -> alt.VConcatChart:
    """Draw the basis of the scores: loadings, eigenvalues with their gap, alignment by model.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select basis_id, pc_number, feature, feature_number, loading, eigenvalue,"
        " eigenvalue_gap, is_identifiable, is_scoring, alignment, block_count"
        " from mart_pca_basis"
        " where is_scoring or basis_id like 'model:%' or basis_id = 'pooled' and pc_number = 1"
        " order by basis_id, pc_number, feature_number"
    )
    shared = [row for row in rows if row["is_scoring"]]
    if not shared or shared[0]["eigenvalue"] is None:
        return theme.draw_message(BASIS_TITLE, [], "No basis was fitted: no block was measured.")
    first = shared[0]
    name = first["basis_id"]
    verdict = "identifiable" if first["is_identifiable"] else "not identifiable: no block is scored"
    gap = first["eigenvalue_gap"]
    blocks = theme.count_noun(first["block_count"], "block")
    least = marts.read_constant("minimum_alignment")
    origins = {
        "standard-1": ", of ChestX-ray8 images: the standard basis.",
        "pooled": ": the study's own basis.",
        "frozen": ", when the axis was frozen.",
    }
    caption = [
        "Principal components of the block features' correlation matrix (definitions E.3, E.4),"
        f" models pooled with equal weight, n = {blocks} without test-time augmentation"
        + origins[name]
        + (" PC1 scores every block." if first["is_identifiable"] else ""),
        marts.describe_axis() if name != "pooled" else "",
        f"Bars: {name} basis; open circles: each model's own first component.",
        "Eigenvalues are variances, that of one feature being 1; first over second:"
        f" {'not defined' if gap is None else f'{gap:.2f}'} ({verdict}).",
        f"Below the dashed line (|cos| = {least:g}) a model's own axis is another one,"
        " and no Axis1 type is stated.",
    ]
    loadings = _draw_loadings(rows, shared)
    below = alt.hconcat(
        _draw_spectrum(rows),
        _draw_alignment(rows, marts.name_models(marts.models), least),
        spacing=20,
    )
    return alt.vconcat(loadings, below, spacing=12, title=theme.make_title(BASIS_TITLE, caption))


def _draw_loadings(
    rows: Sequence[dict[str, Any]], shared: Sequence[dict[str, Any]]
) -> alt.FacetChart:
    drawn = [row for row in shared if row["pc_number"] <= COMPONENTS_DRAWN]
    own = [row for row in rows if row["basis_id"].startswith("model:") and row["pc_number"] == 1]
    total = math.fsum({row["pc_number"]: row["eigenvalue"] for row in shared}.values())
    panels = {}
    for row in drawn:
        share = 100 * row["eigenvalue"] / total if total else 0
        panels[row["pc_number"]] = f"PC{row['pc_number']}: {share:.0f} % of the variance"
    for row in [*drawn, *own]:
        row["panel"] = panels[row["pc_number"]]
    order = [row["feature"] for row in drawn if row["pc_number"] == 1]
    x = alt.X(
        "loading:Q", title="Loading", scale=alt.Scale(domain=[-1, 1]), axis=alt.Axis(tickCount=5)
    )
    y = alt.Y("feature:N", sort=order, title=None, axis=alt.Axis(ticks=False, domain=False))
    table = alt.Chart(theme.make_data(drawn + own))
    shared_only = table.transform_filter("datum.is_scoring")
    bars = shared_only.mark_bar(color=theme.SKY, size=8).encode(x=x, y=y)
    zero = table.mark_rule(color="#888888", strokeWidth=0.75).encode(x=alt.datum(0))
    layers = [bars, zero]
    if own:
        points = table.transform_filter("!datum.is_scoring").mark_point(
            size=12, color=theme.BLACK, strokeWidth=0.6, opacity=0.9
        )
        layers.append(points.encode(x=x, y=y))
    return (
        alt.layer(*layers)
        .properties(width=144, height=14 * len(order))
        .facet(
            facet=alt.Facet("panel:N", sort=list(panels.values()), title=None),
            columns=COMPONENTS_DRAWN,
            spacing=10,
        )
    )


def _draw_spectrum(rows: Sequence[dict[str, Any]]) -> alt.LayerChart:
    spectrum = {}
    for row in rows:
        if not row["is_scoring"] and row["basis_id"] == "pooled":
            continue
        spectrum[row["basis_id"], row["pc_number"]] = {
            "basis": row["basis_id"],
            "is_scoring": row["is_scoring"],
            "pc_number": row["pc_number"],
            "eigenvalue": row["eigenvalue"],
        }
    points = [row for row in spectrum.values() if row["eigenvalue"] is not None]
    own_count = len({row["basis"] for row in points}) - 1
    base = alt.Chart(theme.make_data(points), height=SMALL_PANEL_PT).encode(
        x=alt.X("pc_number:O", title="Component", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("eigenvalue:Q", title="Eigenvalue", axis=alt.Axis(tickCount=4, labelFlush=True)),
    )
    own = base.transform_filter("!datum.is_scoring")
    shared = base.transform_filter("datum.is_scoring")
    name = next(row["basis"] for row in points if row["is_scoring"])
    layers = [
        own.mark_line(color="#A6A6A6", strokeWidth=0.7).encode(detail="basis:N"),
        shared.mark_line(color=theme.BLUE, strokeWidth=1.5),
        shared.mark_point(color=theme.BLUE, filled=True, size=20, opacity=1),
        _write([f"{name} basis"], theme.BLUE, 4),
    ]
    if own_count > 0:
        layers.append(_write(["each model's own"], theme.GREY, 4 + theme.TEXT_PT + 3))
    return alt.layer(*layers, title=_make_small_title("Spectrum")).properties(width=SPECTRUM_PT)


def _write(lines: Sequence[str], colour: str, top_pt: int) -> alt.Chart:
    """Write in a panel's upper right corner: a legend would take more room."""
    return (
        alt.Chart(theme.make_data([{"text": "\n".join(lines)}]))
        .mark_text(align="right", baseline="top", dx=-4, color=colour)
        .encode(x=alt.value("width"), y=alt.value(top_pt), text="text:N")
    )


def _make_small_title(text: str) -> alt.TitleParams:
    return alt.TitleParams(
        text, fontSize=theme.TEXT_PT + 0.5, fontWeight="normal", frame="group", offset=3
    )


def _draw_alignment(
    rows: Sequence[dict[str, Any]], models: Mapping[str, str], least: float
) -> alt.LayerChart:
    drawn = _list_alignments(rows, models, least)
    values = [row["alignment"] for row in drawn if row["alignment"] is not None]
    low = min([0.8, *(int(10 * value) / 10 for value in values)])
    order = [row["model"] for row in drawn]
    y = alt.Y("model:N", sort=order, title=None, axis=theme.make_model_axis())
    x = {
        "title": "|cos| between own PC1 and the one that scores",
        "scale": alt.Scale(domain=[low, 1], zero=False),
        "axis": alt.Axis(tickCount=5),
    }
    room = theme.DOUBLE_COLUMN_PT - SPECTRUM_PT - theme.label_width(order)
    # Left labels of the spectrum, the gap, the numbers on the right, and the padding.
    width = round(room - 44 - 20 - 24 - 8)
    base = alt.Chart(theme.make_data(drawn))
    limit = base.mark_rule(strokeDash=[3, 2], color=theme.GREY, strokeWidth=0.75).encode(
        x=alt.XDatum(least, **x)
    )
    points = base.mark_point(size=24, strokeWidth=1, opacity=1, color=theme.BLUE).encode(
        x=alt.X("alignment:Q", **x),
        y=y,
        fill=alt.Fill(
            "is_shared:N",
            legend=None,
            scale=alt.Scale(domain=[True, False], range=[theme.BLUE, "#FFFFFF"]),
        ),
    )
    texts = base.mark_text(align="left", dx=6).encode(x=alt.value(width), y=y, text="text:N")
    height = max(SMALL_PANEL_PT, round(len(order) * theme.row_height(order, 11)))
    return alt.layer(limit, points, texts, title=_make_small_title("Shared axis")).properties(
        width=width, height=height
    )


def _list_alignments(
    rows: Sequence[dict[str, Any]], models: Mapping[str, str], least: float
) -> list[dict[str, Any]]:
    own = {row["basis_id"]: row for row in rows if row["pc_number"] == 1}
    named = {f"model:{model}": theme.break_label(name) for model, name in models.items()}
    if "pooled" in own and not own["pooled"]["is_scoring"]:
        named = {"pooled": "the study's own"} | named
    drawn = []
    for basis_id, name in named.items():
        alignment = own.get(basis_id, {}).get("alignment")
        drawn.append(
            {
                "model": name,
                "alignment": alignment,
                "is_shared": alignment is not None and alignment >= least,
                "text": "none fitted" if alignment is None else f"{alignment:.2f}",
            }
        )
    return drawn
