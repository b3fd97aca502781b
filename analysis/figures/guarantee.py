"""Figure of what trust costs: blocks masked, by the share of bad blocks that may be missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme
from upscale_audit.analysis.lqd.texts import get_texts, wrap_text

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


LOSSES = ("erroneous", "invented", "lost")
SCORES = ("lr_rms_dn", "tta_gap_dn2", "detail_dn2")
PANEL_WIDTH_PT, PANEL_HEIGHT_PT = 128, 84


def draw_guarantee(marts: Marts, language: str = "en") -> alt.TopLevelMixin:
    """Draw the share of blocks masked against alpha: a panel for each loss and score.

    Parameters
    ----------
    marts : analysis.marts.Marts
    language : {"en", "ja"}

    Returns
    -------
    altair.TopLevelMixin
    """
    texts = get_texts(language, "upscale_audit.analysis.figures")
    rows = marts.rows(
        "select model_id, score, loss, alpha_ratio, cluster_unit, cluster_count, masked_ratio,"
        " masked_low_ratio, masked_high_ratio, is_attainable, reason from mart_guarantee"
        " where inference_path = 'notta' order by model_id, score, loss, alpha_ratio"
    )
    drawn = [row for row in rows if row["is_attainable"]]
    if not drawn:
        reasons = sorted({row["reason"] for row in rows}) or [texts["unmeasured"]]
        message = texts["nothing"].format(reason="; ".join(reasons))
        return theme.draw_message(texts["title"], [], message)
    alphas = sorted({row["alpha_ratio"] for row in rows})
    scores = [name for name in SCORES if any(row["score"] == name for row in drawn)]
    panels = [
        alt.hconcat(
            *(_draw_panel(marts, drawn, (score, loss), alphas, texts) for score in scores),
            spacing=14,
        )
        for loss in LOSSES
    ]
    return alt.vconcat(*panels, spacing=10).properties(
        title=_make_title(texts, _describe(rows, drawn, texts))
    )


def _draw_panel(
    marts: Marts,
    rows: Sequence[Mapping[str, Any]],
    key: tuple[str, str],
    alphas: Sequence[float],
    texts: Mapping[str, str],
) -> alt.LayerChart:
    score, loss = key
    models = [model for model in marts.models if any(row["model_id"] == model for row in rows)]
    data = [
        {
            "model": marts.labels[row["model_id"]],
            "alpha": f"{row['alpha_ratio']:g}",
            "masked": 100 * row["masked_ratio"],
            "low": None if row["masked_low_ratio"] is None else 100 * row["masked_low_ratio"],
            "high": None if row["masked_high_ratio"] is None else 100 * row["masked_high_ratio"],
        }
        for row in rows
        if (row["score"], row["loss"]) == key
    ]
    labels = [marts.labels[model] for model in models]
    colour = alt.Color(
        "model:N",
        title=texts["model"],
        scale=alt.Scale(domain=labels, range=[marts.colours[model] for model in models]),
        legend=alt.Legend(columns=max(1, int(420 / theme.label_width(labels)))),
    )
    place = alt.X(
        "alpha:N",
        title=texts["alpha"] if loss == LOSSES[-1] else None,
        scale=alt.Scale(domain=[f"{alpha:g}" for alpha in alphas], paddingInner=0.3),
        axis=alt.Axis(labelAngle=0, grid=False),
    )
    # Beside each other, for many models mask everything or nothing.
    beside = alt.XOffset("model:N", scale=alt.Scale(domain=labels))
    height = alt.Y(
        "masked:Q",
        title=texts["masked"] if score == SCORES[0] else None,
        scale=alt.Scale(domain=[0, 100]),
        axis=alt.Axis(tickCount=3),
    )
    base = alt.Chart(theme.make_data(data)).encode(x=place, color=colour, xOffset=beside)
    title = alt.TitleParams(
        texts[f"score_{score}"],
        subtitle=texts[f"loss_{loss}"],
        fontSize=theme.TEXT_PT + 0.5,
        subtitleFontSize=theme.TEXT_PT,
        fontWeight="normal",
        frame="group",
        offset=3,
        subtitlePadding=1,
    )
    bars = base.mark_rule(strokeWidth=0.8).encode(y=alt.Y("low:Q"), y2="high:Q")
    points = base.mark_point(filled=True, size=20, opacity=1).encode(y=height)
    return alt.layer(
        bars.transform_filter("isValid(datum.low)"),
        points,
        title=title,
        width=PANEL_WIDTH_PT,
        height=PANEL_HEIGHT_PT,
    )


def _describe(
    rows: Sequence[Mapping[str, Any]], drawn: Sequence[Mapping[str, Any]], texts: Mapping[str, str]
) -> list[str]:
    units = {row["cluster_unit"] for row in rows}
    unit = texts[units.pop() if len(units) == 1 else "mixed"]
    counts = sorted({row["cluster_count"] for row in rows})
    count = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,}\u2013{counts[-1]:,}"
    missing = len(rows) - len(drawn)
    least = min(row["alpha_ratio"] for row in drawn)
    is_few = any(row["alpha_ratio"] < least for row in rows)
    return [
        texts["promise"].format(unit=unit),
        texts["cost"].format(unit=unit, count=count),
        texts["empty"] if any(row["reason"] for row in drawn) else "",
        texts["missing" if is_few else "missing_other"].format(
            count=f"{missing:,}", all=f"{len(rows):,}", least=f"{least:g}"
        )
        if missing
        else "",
    ]


def _make_title(texts: Mapping[str, str], caption: Sequence[str]) -> alt.TitleParams:
    """Make title and caption; Japanese lines break between characters."""
    text = " ".join(sentence for sentence in caption if sentence)
    return alt.TitleParams(
        wrap_text(texts["title"], theme.DOUBLE_COLUMN_PT, theme.TITLE_PT),
        subtitle=wrap_text(text, theme.DOUBLE_COLUMN_PT, theme.CAPTION_PT),
    )
