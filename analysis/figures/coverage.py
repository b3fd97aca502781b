"""Figure of what is missing: blocks measured, and the cause of each that is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


TITLE = "Blocks measured, and why others were not"
CAUSES = {
    "measured": (theme.SKY, "measured"),
    "partial": (theme.PALE_GREY, "cut by the frame"),
    "missing": (theme.VERMILLION, "no file"),
    "ambiguous": (theme.YELLOW, "ambiguous name"),
    "rejected": (theme.BLACK, "file refused"),
    "not_declared": ("#FFFFFF", "path not declared"),
}


def is_complete(marts: Marts) -> bool:
    """Whether every declared image was measured in full, so that there is nothing to draw."""
    (row,) = marts.rows(
        "select coalesce(bool_and(partial_block_count + missing_block_count"
        " + ambiguous_block_count + rejected_block_count + reference_rejected_image_count = 0),"
        " true) as is_complete from mart_coverage"
    )
    return bool(row["is_complete"])


def draw_coverage(marts: Marts) -> alt.TopLevelMixin:
    """Draw the share of blocks measured and missing by cause, model and inference path.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    counts = ", ".join(f"{cause}_block_count as {cause}" for cause in CAUSES)
    rows = marts.rows(
        "select model_id, inference_path, expected_block_count, image_count,"
        f" reference_rejected_image_count, {counts}"
        " from mart_coverage order by model_id, inference_path"
    )
    drawn = [
        {
            "model": theme.break_label(marts.labels[row["model_id"]]),
            "inference_path": row["inference_path"],
            "cause": label,
            "rank": rank,
            "share_pct": 100 * row[cause] / (row["expected_block_count"] or 1),
        }
        for row in rows
        for rank, (cause, (_, label)) in enumerate(CAUSES.items())
        if row[cause]
    ]
    refused = max(row["reference_rejected_image_count"] for row in rows)
    blocks = theme.count_span([row["expected_block_count"] for row in rows], "block")
    images = theme.count_span([row["image_count"] for row in rows], "image")
    caption = [
        f"Share of the blocks of the decoded references (%), n = {blocks} of {images} per bar.",
        f"Not in any bar: {theme.count_noun(refused, 'reference')} refused (mart_rejects says why)."
        if refused
        else "",
    ]
    if not drawn:
        return theme.draw_message(TITLE, caption, "No reference was decoded: mart_rejects.")
    models = marts.name_models(marts.models)
    return _draw_bars(drawn, models, theme.make_title(TITLE, caption))


def _draw_bars(
    rows: Sequence[dict[str, Any]], models: Mapping[str, str], title: alt.TitleParams
) -> alt.FacetChart:
    labels = [theme.break_label(label) for label in models.values()]
    used = [pair for pair in CAUSES.values() if any(row["cause"] == pair[1] for row in rows)]
    width = round((theme.DOUBLE_COLUMN_PT - theme.label_width(labels) - 34) / 2)
    bars = (
        alt.Chart(
            theme.make_data(rows),
            width=width,
            height=round(len(labels) * theme.row_height(labels, 14)),
        )
        .mark_bar(stroke="#888888", strokeWidth=0.4)
        .encode(
            x=alt.X("share_pct:Q", title="Blocks (%)", scale=alt.Scale(domain=[0, 100])),
            y=alt.Y("model:N", sort=labels, title=None, axis=theme.make_model_axis()),
            color=alt.Color(
                "cause:N",
                title=None,
                sort=[label for _, label in used],
                scale=alt.Scale(
                    domain=[label for _, label in used], range=[colour for colour, _ in used]
                ),
            ),
            order="rank:Q",
        )
    )
    return bars.facet(column=alt.Column("inference_path:N", title=None), spacing=10, title=title)
