"""Figure of collapse states: how many blocks of each zone are in each, model by model."""

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import Canvas, make_box, make_text

TITLE = "Collapse states with and without test-time augmentation, by zone"
STATES = {
    "Persistent": (theme.VERMILLION, "Persistent: collapsed either way"),
    "Escape": (theme.SKY, "Escape: repaired by tta"),
    "BlindSpot": (theme.ORANGE, "BlindSpot: broken by tta alone"),
}
ZONES = {"visible": "visible", "hidden": "hidden"}
BAR_PT, ROW_PT, GROUP_GAP_PT, HEAD_PT = 9, 11, 6, 38
WIDTH_PT, ZONE_PT, NUMBERS_PT, TICK_COUNT = theme.DOUBLE_COLUMN_PT - 12, 32, 172, 4


def draw_tier3_states(marts):
    """Draw the composition of states of each model and zone, and what SSIM cannot see of it.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select model_id, zone, state, block_count, zone_ratio, silent_count, silent_ratio"
        " from mart_tier3_states order by model_id, zone, state"
    )
    known = {}
    for row in rows:
        if row["block_count"] is not None:
            zones = known.setdefault(row["model_id"], {})
            zones.setdefault(row["zone"], {})[row["state"]] = row
    models = [model for model in marts.models if model in known]
    if not models:
        reason = "No model has both a notta and a tta image of a reference."
        if not marts.is_axis_identifiable():
            reason = "No block has a score: Axis1 is not identifiable in this study."
        return theme.draw_message(TITLE, [], f"No block has a state. {reason}")
    caption = _describe(marts, known, [model for model in marts.models if model not in known])
    return _draw_bars(models, known, theme.make_title(TITLE, caption))


def _describe(marts, known, without):
    (limit,) = marts.rows("select max(tau) as tau from mart_limits")
    totals = [
        sum(row["block_count"] for zone in zones.values() for row in zone.values())
        for zones in known.values()
    ]
    return [
        "Share of a zone's blocks; the rest is Stable. A block is collapsed where |PC1| exceeds"
        f" {float(limit['tau']):.2f}, the 95 % quantile over all models' notta blocks [OWN];"
        " hidden: its notta SSIM is among the model's highest tenth. States and zones are"
        " published, the indicator is ours (definitions E.6).",
        f"n = {theme.count_span(totals, 'block')} per model with both paths measured; counts are"
        " complete, so there are no intervals.",
        "Silent: of the hidden Persistent blocks, those so flat that SSIM could hardly fall"
        " (definitions E.2), published as 95.30 % for SwinIR.",
        f"Without a state, for one path was not measured: {', '.join(without)}." if without else "",
    ]


def _draw_bars(models, known, title):
    canvas = Canvas()
    left = max(60.0, *(6 + theme.text_width(theme.label_model(model, 22)) for model in models))
    left = min(left, 116.0)
    start = left + ZONE_PT
    width = WIDTH_PT - start - NUMBERS_PT
    most = max(_sum_changed(zone) for zones in known.values() for zone in zones.values())
    end, ticks = _choose_end(most)
    y = HEAD_PT
    columns = [start + width + offset for offset in (10, 54, 102)]
    heads = ("\nStable", "\nblocks", "silent, of hidden\nPersistent")
    canvas.add_texts(
        [
            make_text(x, HEAD_PT - 20, head, theme.GREY)
            for x, head in zip(columns, heads, strict=True)
        ],
        baseline="top",
    )
    lines, bars, labels, numbers = [], [], [], []
    for model in models:
        labels.append(make_text(0, y + ROW_PT, theme.label_model(model, 22)))
        for zone in ZONES:
            states = known[model].get(zone, {})
            labels.append(make_text(left, y + ROW_PT / 2, zone, theme.GREY))
            x = start
            for state, (colour, _) in STATES.items():
                share = states[state]["zone_ratio"] if state in states else None
                length = width * (share or 0) / end
                if length:
                    bars.append(make_box(x, y + (ROW_PT - BAR_PT) / 2, length, BAR_PT, colour))
                x += length
            for place, text in zip(columns, _list_numbers(zone, states), strict=True):
                numbers.append(make_text(place, y + ROW_PT / 2, text))
            y += ROW_PT
        y += GROUP_GAP_PT
    bottom = y - GROUP_GAP_PT
    centred = [make_text(start + width / 2, bottom + 18, "Blocks of the zone (%)")]
    for tick in ticks:
        place = start + width * tick / end
        lines.append(make_box(place, HEAD_PT - 2, 0, bottom - HEAD_PT + 4, "#E2E2E2"))
        centred.append(make_text(place, bottom + 8, f"{100 * tick:g}"))
    canvas.add_texts(centred, align="center")
    canvas.add_lines(lines, 0.5)
    canvas.add_boxes(bars)
    canvas.add_texts(labels)
    canvas.add_texts(numbers)
    _draw_key(canvas)
    return canvas.draw(WIDTH_PT, bottom + 24, title)


def _sum_changed(states):
    return sum(states[state]["zone_ratio"] or 0 for state in STATES if state in states)


def _choose_end(most):
    """End of the scale, and its ticks."""
    for end in (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0):
        if most <= end:
            break
    return end, [end * number / TICK_COUNT for number in range(TICK_COUNT + 1)]


def _list_numbers(zone, states):
    """Stable share, blocks, and the silent share where it is defined."""
    if not states:
        return ["", "0", ""]
    stable = states["Stable"]["zone_ratio"]
    blocks = sum(row["block_count"] for row in states.values())
    silent = ""
    if zone == "hidden":
        row = states["Persistent"]
        silent = (
            f"{100 * row['silent_ratio']:.1f} % ({row['silent_count']:,} of {row['block_count']:,})"
            if row["block_count"]
            else "no such block"
        )
    return ["" if stable is None else f"{100 * stable:.1f} %", f"{blocks:,}", silent]


def _draw_key(canvas):
    x, boxes, labels = 0.0, [], []
    for colour, label in STATES.values():
        boxes.append(make_box(x, 2, 8, 7, colour))
        labels.append(make_text(x + 11, 5.5, label))
        x += 24 + theme.text_width(label)
    canvas.add_boxes(boxes)
    canvas.add_texts(labels)
