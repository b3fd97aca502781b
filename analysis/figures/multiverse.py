"""Figure of the multiverse: the type of each model under every way to choose the axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


TITLE = "Types A and B, had the axis been chosen otherwise"
SPACES = {"phi5": "\u03a65, signed", "phi6": "\u03a66, mixed", "phi3": "\u03a63, of SSIM"}
BANDS = {
    "axis1_type": "Type: each side by itself",
    "contrast_type": "What the contrasts alone say",
}
TYPES = ("A", "B", "mixed", "not identifiable")
FILLS = {"A": theme.VERMILLION, "B": theme.BLUE, "mixed": theme.PALE_GREY}
# What is said of a choice below its column; else standard basis, scaled, zero and anchored.
MARKS = {
    "basis: standard": lambda row: row["basis"] == "standard",
    "pooled": lambda row: row["basis"] == "pooled",
    "the model's own": lambda row: row["basis"] == "own",
    "not scaled": lambda row: not row["is_scaled"],
    "origin: the mean": lambda row: row["origin"] == "mean",
    "sign as returned": lambda row: row["axis_sign"] == "returned",
}
GAP_PT, ROW_PT, DOT_ROW_PT, COUNT_PT = 8, 11, 9, 74
UNSUPPORTED_OPACITY = 0.4
NO_HEAD = "\u00a0"
"""Keeps a line's height."""


def draw_axis1_multiverse(marts: Marts) -> alt.HConcatChart:
    """Draw models by choices, coloured by type, twice: by the rule, and by the contrasts alone.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = _read(marts)
    if not rows:
        return theme.draw_message(TITLE, [], "No block was measured: there is no axis to choose.")
    labels = {model: theme.break_label(marts.labels[model], 26) for model in marts.models}
    columns = _list_columns(rows)
    spaces = [space for space in SPACES if any(row["feature_space"] == space for row in rows)]
    room = theme.DOUBLE_COLUMN_PT - theme.label_width([*labels.values(), *MARKS]) - COUNT_PT
    step = max(3.0, (room - GAP_PT * (len(spaces) + 1)) / len(columns))
    height = round(len(labels) * theme.row_height(labels.values(), ROW_PT))
    panels = [
        alt.vconcat(
            *(_draw_cells(rows, columns, space, band, labels, step, height) for band in BANDS),
            _draw_marks(columns, space, step),
            spacing=GAP_PT,
        )
        for space in spaces
    ]
    counts = alt.vconcat(
        *(_draw_counts(rows, band, labels, height) for band in BANDS), spacing=GAP_PT
    )
    title = theme.make_title(TITLE, _describe(rows, columns))
    return alt.hconcat(*panels, counts, spacing=GAP_PT, title=title)


def _read(marts: Marts) -> list[dict[str, Any]]:
    """Read the choices that have an axis; as returned only where that turns one of them."""
    rows = marts.rows(
        "select model_id, feature_space, is_scaled, basis, origin, axis_sign, is_scoring,"
        " is_turned, axis1_type, contrast_type, coalesce(is_supported, false) as is_type_supported,"
        " coalesce(contrast_sharpness_low > 0"
        " and (contrast_artefact_low > 0 or contrast_artefact_high < 0), false)"
        " as is_contrast_supported"
        " from mart_axis1_multiverse where eigenvalue_gap is not null"
        " order by feature_space, is_scaled desc, basis, origin desc, axis_sign, model_id"
    )
    for row in rows:
        row["column"] = " ".join(
            str(row[key]) for key in ("feature_space", "is_scaled", "basis", "origin", "axis_sign")
        )
    turned = {row["column"] for row in rows if row["is_turned"]}
    return [row for row in rows if row["axis_sign"] == "anchored" or row["column"] in turned]


def _list_columns(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row of each choice, the standard basis first, then the pooled one."""
    order = ["standard", "pooled", "own"]
    found = {row["column"]: row for row in rows}
    return sorted(
        found.values(),
        key=lambda row: (
            list(SPACES).index(row["feature_space"]),
            not row["is_scaled"],
            order.index(row["basis"]),
            row["origin"] == "mean",
            row["axis_sign"] == "returned",
        ),
    )


def _describe(rows: Sequence[dict[str, Any]], columns: Sequence[dict[str, Any]]) -> list[str]:
    count = theme.count_noun(len(columns), "choice")
    scoring = any(row["is_scoring"] for row in rows)
    return [
        f"One column for each of {count}: feature space (definitions E.3, E.10), scaled to unit"
        " variance or not, basis, origin and sign; a sign as scikit-learn returns it is a choice of"
        " its own only where it turns some axis over.",
        "Above, the published types by the rule of mart_axis1_types, under which each side of the"
        " axis must have changed by itself; below, what the contrasts between the sides say, which"
        " prove nothing alone: polarity and components come from the same pixels.",
        "Pale: an interval holds 0, or there is none. White with a cross: no type, for the axis or"
        " a side of it is not there, or the model's own axis is another.",
        "Outlined: the choice that scores." if scoring else "",
        "A claim that few columns make is of the choice, not of the model.",
    ]


def _scale_columns(columns: Sequence[dict[str, Any]], space: str) -> alt.X:
    return alt.X(
        "column:O",
        scale=alt.Scale(
            domain=[row["column"] for row in columns if row["feature_space"] == space],
            paddingInner=0.08,
            paddingOuter=0.04,
        ),
        axis=None,
    )


def _draw_cells(
    rows: Sequence[dict[str, Any]],
    columns: Sequence[dict[str, Any]],
    space: str,
    band: str,
    labels: Mapping[str, str],
    step: float,
    height: int,
) -> alt.LayerChart:
    supported = "is_type_supported" if band == "axis1_type" else "is_contrast_supported"
    data = [
        {
            "column": row["column"],
            "model": labels[row["model_id"]],
            "type": row[band],
            "is_scoring": row["is_scoring"],
            "opacity": 1 if row[supported] or row[band] == "mixed" else UNSUPPORTED_OPACITY,
        }
        for row in rows
        if row["feature_space"] == space
    ]
    is_first = columns[0]["feature_space"] == space
    width = step * sum(row["feature_space"] == space for row in columns)
    cells = alt.Chart(theme.make_data(data)).encode(
        x=_scale_columns(columns, space),
        y=alt.Y(
            "model:N",
            sort=list(labels.values()),
            title=None,
            axis=theme.make_model_axis() if is_first else None,
            scale=alt.Scale(paddingInner=0.08, paddingOuter=0.04),
        ),
    )
    fills = alt.Color(
        "type:N",
        title="Type:",
        scale=alt.Scale(domain=list(FILLS), range=list(FILLS.values())),
    )
    filled = cells.transform_filter("datum.type !== 'not identifiable'")
    coloured = filled.mark_rect().encode(color=fills, opacity=alt.Opacity("opacity:Q", scale=None))
    crosses = cells.transform_filter("datum.type === 'not identifiable'").mark_point(
        shape="cross", angle=45, size=10, color="#A6A6A6", filled=True, opacity=1
    )
    outlines = cells.transform_filter("datum.is_scoring").mark_rect(
        filled=False, stroke=theme.BLACK, strokeWidth=0.8
    )
    head = BANDS[band] if is_first else NO_HEAD
    lines = [SPACES[space], head] if band == "axis1_type" else [head]
    return alt.layer(coloured, crosses, outlines).properties(
        width=width, height=height, title=_head(lines)
    )


def _head(lines: Sequence[str]) -> alt.TitleParams:
    return alt.TitleParams(
        lines,
        fontSize=theme.TEXT_PT + 0.5,
        fontWeight="normal",
        lineHeight=theme.TEXT_PT + 3,
        frame="group",
        offset=3,
    )


def _draw_marks(columns: Sequence[dict[str, Any]], space: str, step: float) -> alt.Chart:
    chosen = [row for row in columns if row["feature_space"] == space]
    data = [
        {"column": row["column"], "mark": name}
        for row in chosen
        for name, applies in MARKS.items()
        if applies(row)
    ]
    is_first = columns[0]["feature_space"] == space
    axis = (
        alt.Axis(ticks=False, domain=False, grid=True)
        if is_first
        else alt.Axis(labels=False, ticks=False, domain=False, grid=True)
    )
    return (
        alt.Chart(theme.make_data(data))
        .mark_point(filled=True, size=9, color=theme.BLACK, opacity=1)
        .encode(
            x=_scale_columns(columns, space),
            y=alt.Y("mark:N", scale=alt.Scale(domain=list(MARKS)), title=None, axis=axis),
        )
        .properties(width=step * len(chosen), height=DOT_ROW_PT * len(MARKS))
    )


def _draw_counts(
    rows: Sequence[dict[str, Any]], band: str, labels: Mapping[str, str], height: int
) -> alt.Chart:
    data = []
    for model, label in labels.items():
        found = [row[band] for row in rows if row["model_id"] == model]
        usable = [name for name in found if name != "not identifiable"]
        told = f"A {usable.count('A')}, B {usable.count('B')} of {len(usable)}"
        data.append({"model": label, "text": told if found else "not measured"})
    lines = [NO_HEAD, "Choices"] if band == "axis1_type" else [NO_HEAD]
    return (
        alt.Chart(theme.make_data(data))
        .mark_text(align="left", fontSize=theme.TEXT_PT)
        .encode(
            x=alt.value(0),
            y=alt.Y("model:N", sort=list(labels.values()), title=None, axis=None),
            text="text:N",
        )
        .properties(
            width=COUNT_PT, height=height, title=_head(lines), view=alt.ViewConfig(stroke=None)
        )
    )
