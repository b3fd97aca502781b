"""Figure of the ledger: of each model's squared error, what it invented, lost or exaggerated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


TITLE = "The ledger: what the squared error is made of, scale by scale"
KINDS = {
    "invented": theme.VERMILLION,
    "lost": theme.BLUE,
    "exaggerated": theme.ORANGE,
    "shifted": theme.GREY,
}
GAP_PT, ROW_PT, BAR_PT = 10, 11, 8


def draw_ledger(marts: Marts) -> alt.HConcatChart:
    """Draw one bar a model and inference path, split by kind, in a panel for each scale.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select model_id, inference_path, scale_px, kind, image_count, energy_dn2"
        " from mart_ledger order by model_id, inference_path, scale_px, kind"
    )
    if not rows:
        return theme.draw_message(TITLE, [], "No whole block was measured.")
    rows = marts.order_rows(rows)
    names = {
        (row["model_id"], row["inference_path"]): _label_row(marts.labels, row) for row in rows
    }
    widest = max(row["scale_px"] for row in rows)
    panels = {
        f"cells of {scale} px": [
            row for row in rows if row["scale_px"] == scale and row["kind"] != "shifted"
        ]
        for scale in sorted({row["scale_px"] for row in rows})
    }
    # What is left above 8 px is told apart by the wider cells, where there are any.
    above = [row for row in rows if row["scale_px"] == widest and row["kind"] == "shifted"]
    panels[f"wider than {widest} px"] = above
    labels = list(names.values())
    width = theme.DOUBLE_COLUMN_PT - theme.label_width(labels) - 24
    width = max(24, int((width - GAP_PT * (len(panels) - 1)) / len(panels)))
    height = round(len(labels) * theme.row_height(labels, ROW_PT))
    charts = [
        _draw_panel(name, drawn, names, is_first=number == 0).properties(width=width, height=height)
        for number, (name, drawn) in enumerate(panels.items())
    ]
    title = theme.make_title(TITLE, _describe(marts, rows))
    return alt.hconcat(*charts, spacing=GAP_PT, title=title)


def _label_row(labels: Mapping[str, str], row: Mapping[str, Any]) -> str:
    tta = ", tta" if row["inference_path"] == "tta" else ""
    return theme.break_label(labels[row["model_id"]] + tta, 26)


def _describe(marts: Marts, rows: Sequence[dict[str, Any]]) -> list[str]:
    counts = [row["image_count"] for row in rows]
    (known,) = marts.rows(
        "select max(baseline_energy_dn2) as baseline, count(energy_dn2_low) > 0 as is_bounded"
        " from mart_ledger"
    )
    return [
        "Mean over pixels (dn\u00b2) of the error's energy at cells of so many pixels: detail that"
        " the reference has not (invented), its own detail too weak (lost) or too strong"
        " (exaggerated), and what is wider (shifted). The parts of a row add up to its mean squared"
        " error, save that cells above 8 px are of whole windows of 64 px [OWN] (definitions E.8).",
        "Interpolation invents too, by aliasing: read a model beside it."
        if known["baseline"] is not None
        else "",
        "Each panel has a scale of its own.",
        f"n = {theme.count_span(counts, 'image')} per bar"
        + ("; mart_ledger has intervals." if known["is_bounded"] else "."),
    ]


def _draw_panel(
    name: str,
    rows: Sequence[dict[str, Any]],
    names: Mapping[tuple[str, str], str],
    is_first: bool,
) -> alt.Chart:
    data = [
        {
            "scale": name,
            "row": names[row["model_id"], row["inference_path"]],
            "kind": row["kind"],
            "order": list(KINDS).index(row["kind"]),
            "energy_dn2": row["energy_dn2"],
        }
        for row in rows
    ]
    axis = theme.make_model_axis() if is_first else None
    colours = alt.Scale(domain=list(KINDS), range=list(KINDS.values()))
    title = alt.TitleParams(
        name, fontSize=theme.TEXT_PT + 0.5, fontWeight="normal", frame="group", offset=3
    )
    return (
        alt.Chart(theme.make_data(data), title=title)
        .mark_bar(size=BAR_PT)
        .encode(
            x=alt.X("energy_dn2:Q", title="dn\u00b2", axis=alt.Axis(tickCount=2)),
            y=alt.Y("row:N", sort=list(names.values()), title=None, axis=axis),
            color=alt.Color("kind:N", title="Kind:", scale=colours),
            order="order:Q",
        )
    )
