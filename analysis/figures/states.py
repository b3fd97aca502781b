"""Figure of block states: how many blocks of each zone are beyond a limit, model by model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_text

if TYPE_CHECKING:
    import altair as alt

    from upscale_audit.analysis.marts import Marts

    Zone = dict[str, dict[str, Any]]
    """Rows of mart_tier3_states by state."""
    Known = dict[str, dict[str, tuple[str, dict[str, Zone]]]]
    """By model and indicator: the paths that were judged, and the zones by name."""


TITLE = "Blocks beyond a limit, with and without test-time augmentation, by zone"
STATES = {
    "Persistent": (theme.VERMILLION, "Persistent: beyond either way"),
    "Escape": (theme.SKY, "Escape: not with tta"),
    "BlindSpot": (theme.ORANGE, "BlindSpot: with tta alone"),
    "Beyond": (theme.PURPLE, "Beyond: no tta to compare"),
}
# Of the states beyond the limit, those whose silent share is told.
FIRST = ("Persistent", "Beyond")
INDICATORS = {"axis": "extreme", "error": "error"}
ZONES = {"visible": "visible", "hidden": "hidden"}
BAR_PT, ROW_PT, GROUP_GAP_PT, HEAD_PT = 9, 11, 6, 38
WIDTH_PT, ZONE_PT, NUMBERS_PT, TICK_COUNT = theme.DOUBLE_COLUMN_PT - 12, 70, 172, 4
COLUMNS_PT = (8, 46, 130)


def draw_tier3_states(marts: Marts) -> alt.LayerChart:
    """Draw the composition of states of each model, indicator and zone, and what SSIM cannot see.

    A model without images of both paths has the half that its notta images show.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select model_id, indicator, judged_paths, zone, state, block_count, zone_ratio,"
        " zone_low_ratio, zone_high_ratio, silent_count, silent_ratio, zone_silent_ratio,"
        " indicator_limit, sensitivity_ratio, false_alarm_ratio, loud_most, cluster_unit,"
        " cluster_count from mart_tier3_states"
        " where block_count is not null order by model_id, indicator, judged_paths, zone, state"
    )
    known: Known = {}
    for row in rows:
        # `both` comes before `notta`, and where it is known is all that is drawn.
        indicators = known.setdefault(row["model_id"], {})
        paths, zones = indicators.setdefault(row["indicator"], (row["judged_paths"], {}))
        if paths == row["judged_paths"]:
            zones.setdefault(row["zone"], {})[row["state"]] = row
    models = [model for model in marts.models if model in known]
    if not models:
        return theme.draw_message(TITLE, [], "No block has a state: nothing was measured.")
    caption = _describe(marts, known, [model for model in marts.models if model not in known])
    return _draw_bars(marts.name_models(models), known, theme.make_title(TITLE, caption))


def _list_zones(known: Known) -> list[Zone]:
    """List the zones that are drawn, of every model and indicator."""
    return [
        zone
        for indicators in known.values()
        for name in INDICATORS
        for zone in indicators.get(name, ("", {}))[1].values()
    ]


def _describe(marts: Marts, known: Known, without: Sequence[str]) -> list[str]:
    (limits,) = marts.rows(
        "select max(tau) as tau, max(error_limit_dn2) as error_limit_dn2 from mart_limits"
    )
    extreme = "Axis1 is not identifiable, so no block has a score."
    if limits["tau"] is not None:
        extreme = (
            f"Extreme: |PC1| exceeds {float(limits['tau']):.2f}, the"
            f" {marts.read_constant('tau_pct'):g} % quantile over the axis"
            " models' notta blocks: far along the axis either way, which is no damage."
        )
    zones = _list_zones(known)
    counts = [sum(row["block_count"] for row in states.values()) for states in zones]
    first = [
        row
        for states in zones
        for name, row in states.items()
        if name in FIRST and row["zone_ratio"] is not None
    ]
    return [
        f"Share of a zone's blocks. {extreme} Error: squared error above"
        f" {float(limits['error_limit_dn2']):g} dn². Hidden: its notta SSIM is at or above the"
        " 90 % quantile of the model's. States and zones are published, both indicators are ours"
        " [OWN] (definitions E.6).",
        f"n = {theme.count_span(counts, 'block')} per zone. "
        + theme.describe_intervals(first, "zone_low_ratio", "Korn and Graubard").replace(
            "Bars: ", "Lines, of the first state of a bar: ", 1
        ),
        "Silent: blocks so flat that SSIM could hardly fall (definitions E.2), of the hidden"
        " Persistent ones (published as 95.30 % for SwinIR), and beside it of all hidden ones."
        " *: by identity, for no other block of the zone reaches the limit.",
        f"Not measured: {marts.list_labels(without)}." if without else "",
        _describe_measured(known),
    ]


def _describe_measured(known: Known) -> str:
    """Say what a phantom study found of the limits, where the study names its file."""
    shares: dict[str, list[tuple[float, float]]] = {}
    for indicators in known.values():
        for indicator, (_, zones) in indicators.items():
            row = next(row for states in zones.values() for row in states.values())
            if row["sensitivity_ratio"] is not None:
                found, alarms = row["sensitivity_ratio"], row["false_alarm_ratio"]
                shares.setdefault(indicator, []).append((found, alarms))
    spans = [
        f"{INDICATORS.get(indicator, indicator)} {_span(found for found, _ in of_models)} and"
        f" {_span(alarms for _, alarms in of_models)}"
        for indicator, of_models in sorted(shares.items())
    ]
    if not spans:
        return ""
    return (
        "Measured in a phantom study (mart_measured_limits), by model, % of places with what was"
        f" drawn that have a block beyond the limit, and of places without: {'; '.join(spans)}."
    )


def _span(ratios: Iterable[float]) -> str:
    """Spell the least and the greatest of some shares, %."""
    ends = sorted({f"{100 * ratio:.3g}" for ratio in ratios}, key=float)
    return ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"


def _draw_bars(models: Mapping[str, str], known: Known, title: alt.TitleParams) -> alt.LayerChart:
    canvas = Canvas()
    heads = {model: theme.break_label(label, 22) for model, label in models.items()}
    left = max(60.0, *(theme.label_width([head]) - 2 for head in heads.values()))
    left = min(left, 116.0)
    start = left + ZONE_PT
    width = WIDTH_PT - start - NUMBERS_PT
    end, ticks = _choose_end(max(_find_reach(states) for states in _list_zones(known)))
    columns = [start + width + offset for offset in COLUMNS_PT]
    column_heads = ("\nblocks", "silent, of\nhidden first state", "silent, of\nall hidden")
    canvas.add_texts(
        [
            make_text(x, HEAD_PT - 20, head, theme.GREY)
            for x, head in zip(columns, column_heads, strict=True)
        ],
        baseline="top",
    )
    y = HEAD_PT
    bars, whiskers, labels, numbers = [], [], [], []
    for model in models:
        height = ROW_PT * len(_list_zones({model: known[model]}))
        labels.append(make_text(0, y + height / 2, heads[model]))
        for indicator, name in INDICATORS.items():
            _, zones = known[model].get(indicator, ("", {}))
            for zone in [zone for zone in ZONES if zone in zones]:
                middle = y + ROW_PT / 2
                labels.append(make_text(left, middle, f"{name}, {zone}", theme.GREY))
                bars += _make_bars(zones[zone], start, y, width / end)
                whiskers += _make_whisker(zones[zone], start, middle, width / end)
                for place, text in zip(columns, _list_numbers(zone, zones[zone]), strict=True):
                    numbers.append(make_text(place, middle, text))
                y += ROW_PT
        y += GROUP_GAP_PT
    bottom = y - GROUP_GAP_PT
    _draw_scale(canvas, start, width, bottom, (end, ticks))
    canvas.add_boxes(bars)
    canvas.add_lines(whiskers, 0.75)
    canvas.add_texts(labels)
    canvas.add_texts(numbers)
    _draw_key(canvas, {state for states in _list_zones(known) for state in states})
    return canvas.draw(WIDTH_PT, bottom + 24, title)


def _draw_scale(
    canvas: Canvas, start: float, width: float, bottom: int, scale: tuple[float, list[float]]
) -> None:
    end, ticks = scale
    lines, centred = [], [make_text(start + width / 2, bottom + 18, "Blocks of the zone (%)")]
    for tick in ticks:
        place = start + width * tick / end
        lines.append(make_box(place, HEAD_PT - 2, 0, bottom - HEAD_PT + 4, "#E2E2E2"))
        centred.append(make_text(place, bottom + 8, f"{100 * tick:g}"))
    canvas.add_texts(centred, align="center")
    canvas.add_lines(lines, 0.5)


def _make_bars(states: Zone, start: float, y: int, scale: float) -> list[dict[str, Any]]:
    bars, x = [], start
    for state, (colour, _) in STATES.items():
        length = scale * (states[state]["zone_ratio"] or 0) if state in states else 0
        if length:
            bars.append(make_box(x, y + (ROW_PT - BAR_PT) / 2, length, BAR_PT, colour))
        x += length
    return bars


def _find_first(states: Zone) -> dict[str, Any]:
    return next(states[state] for state in FIRST if state in states)


def _make_whisker(states: Zone, start: float, middle: float, scale: float) -> list[dict[str, Any]]:
    """Make the first state's interval; none where no block is in it: its bar is not there."""
    row = _find_first(states)
    if not row["block_count"] or row["zone_low_ratio"] is None:
        return []
    low, high = (start + scale * row[f"zone_{end}_ratio"] for end in ("low", "high"))
    return [make_box(low, middle, high - low, 0, theme.BLACK)]


def _find_reach(states: Zone) -> float:
    """How far a zone's bars and line go."""
    row = _find_first(states)
    ends = [sum(states[state]["zone_ratio"] or 0 for state in STATES if state in states)]
    if row["block_count"] and row["zone_high_ratio"] is not None:
        ends.append(row["zone_high_ratio"])
    return max(ends)


def _choose_end(most: float) -> tuple[float, list[float]]:
    """End of the scale, and its ticks."""
    for end in (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0):
        if most <= end:
            break
    return end, [end * number / TICK_COUNT for number in range(TICK_COUNT + 1)]


def _list_numbers(zone: str, states: Zone) -> list[str]:
    """Blocks, and of the hidden zone the silent share of its first state and of all of it."""
    blocks = f"{sum(row['block_count'] for row in states.values()):,}"
    if zone != "hidden":
        return [blocks, "", ""]
    row = _find_first(states)
    if not row["block_count"]:
        silent = "no such block"
    else:
        is_identity = row["loud_most"] is None or row["loud_most"] <= row["indicator_limit"]
        silent = (
            f"{100 * row['silent_ratio']:.1f} % ({row['silent_count']:,} of"
            f" {row['block_count']:,}){'*' if is_identity else ''}"
        )
    share = row["zone_silent_ratio"]
    return [blocks, silent, "" if share is None else f"{100 * share:.1f} %"]


def _draw_key(canvas: Canvas, states: set[str]) -> None:
    x, boxes, labels = 0.0, [], []
    for colour, label in [STATES[state] for state in STATES if state in states]:
        boxes.append(make_box(x, 2, 8, 7, colour))
        labels.append(make_text(x + 11, 5.5, label))
        x += 24 + theme.text_width(label)
    canvas.add_boxes(boxes)
    canvas.add_texts(labels)
