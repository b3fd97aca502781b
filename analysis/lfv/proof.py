"""What the three figures share: a source's proof, its words, its table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import altair as alt

from upscale_audit.analysis import theme
from upscale_audit.analysis.canvas import make_box, make_text
from upscale_audit.analysis.lqd.texts import get_texts, wrap_text
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    from upscale_audit.analysis.canvas import Canvas
    from upscale_audit.analysis.marts import Marts


WIDTH_PT = theme.DOUBLE_COLUMN_PT - 12
ROW_PT = 9.5
MOST_MODELS = 40
TICK_COUNT = 4
NONE = "\u2013"


@dataclass(frozen=True)
class Source:
    """One source and inference path of `mart_lfv_proof`, and the language it is drawn in."""

    source_id: str
    inference_path: str
    language: str = "en"

    @property
    def where(self) -> str:
        """SQL condition of the source's rows."""
        return (
            f"source_id = {quote_text(self.source_id)}"
            f" and inference_path = {quote_text(self.inference_path)}"
        )

    @property
    def is_measured(self) -> bool:
        """Whether this study measured the images, or a published file did."""
        return self.inference_path != "unstated"

    @property
    def texts(self) -> dict[str, Any]:
        """Every word of the figures, by key."""
        return get_texts(self.language, "upscale_audit.analysis.lfv")


def list_lfv_sources(marts: Marts) -> list[tuple[str, str]]:
    """List each source and inference path with a proof, in order.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    list of (str, str)
    """
    rows = marts.rows(
        "select source_id, inference_path from mart_lfv_proof"
        " group by source_id, inference_path order by source_id, inference_path"
    )
    return [(row["source_id"], row["inference_path"]) for row in rows]


def read_proof(marts: Marts, source: Source) -> list[dict[str, Any]]:
    """Read the rows of a source: all models together first, then each.

    Parameters
    ----------
    marts : analysis.marts.Marts
    source : Source

    Returns
    -------
    list of dict
        Columns of `mart_lfv_proof`; `label` names the row. Of a single model there is one row:
        pooled or not, it is the same.
    """
    rows = marts.rows(
        f"select * from mart_lfv_proof where {source.where}"
        " order by population = 'per_model', model_id"
    )
    pooled = source.texts["pooled"]
    own = marts.order_rows([row for row in rows if row["population"] == "per_model"])
    rows = [*(row for row in rows if row["population"] == "pooled"), *own]
    for row in rows:
        is_pooled = row["population"] == "pooled"
        row["label"] = pooled if is_pooled else marts.labels[row["model_id"]]
    if len(rows) == 2:
        rows[0]["label"] = rows[1]["label"]
        rows = rows[:1]
    return rows


def limit_rows(source: Source, rows: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """Leave so many models in a table as a page holds, and say so.

    Parameters
    ----------
    source : Source
    rows : list of dict
        As of `read_proof`.

    Returns
    -------
    shown : list of dict
    note : str
        A sentence for the caption; empty where all are shown.
    """
    count = len(rows) - 1
    if count <= MOST_MODELS:
        return list(rows), ""
    note = source.texts["rows_cut"].format(shown=MOST_MODELS, count=f"{count:,}")
    return list(rows[: MOST_MODELS + 1]), note


def make_title(source: Source, key: str, caption: Sequence[str]) -> alt.TitleParams:
    """Make a figure's title and caption in the source's language.

    Parameters
    ----------
    source : Source
    key : str
        Of the title among the texts.
    caption : list of str
        Sentences; empty ones are left out.

    Returns
    -------
    altair.TitleParams
    """
    texts = source.texts
    name = source.source_id
    if source.is_measured:
        name = texts["measured"].format(path=texts[source.inference_path])
    title = texts[key].format(source=name)
    text = texts["between"].join(sentence for sentence in caption if sentence)
    # Widths are estimates; a line that overran would be cut off.
    width = 0.97 * theme.DOUBLE_COLUMN_PT
    heads = wrap_text(title, width, theme.TITLE_PT)
    lines = wrap_text(text, width, theme.CAPTION_PT)
    return alt.TitleParams(heads[0] if len(heads) == 1 else heads, subtitle=lines or [""])


def describe_clusters(source: Source, row: Mapping[str, Any]) -> str:
    """Say what the intervals of a row resample, or that there are too few clusters."""
    texts = source.texts
    unit = texts["units"].get(row["cluster_unit"], row["cluster_unit"])
    has_interval = row["correlation_low"] is not None
    has_interval |= row["centred_boundary_bias_index_low"] is not None
    key = "intervals" if has_interval else "no_intervals"
    found: str = texts[key].format(count=f"{row['cluster_count']:,}", unit=unit)
    return found


def spell(value: float | None, digits: int) -> str:
    """Spell a number with a fixed count of digits and a true minus sign; a dash for None."""
    if value is None:
        return NONE
    text = f"{value:.{digits}f}"
    # What rounds to zero has no sign.
    text = text.lstrip("-") if float(text) == 0 else text
    return text.replace("-", "\u2212")


def spell_p(value: float | None) -> str:
    """Spell a p-value: three digits, or its power of ten; never 0 for one above 0."""
    if value is None:
        return NONE
    if value == 0:
        return "<1e\u2212308"
    return (
        f"{value:.3f}"
        if value >= 0.001
        else f"{value:.0e}".replace("-0", "-").replace("-", "\u2212")
    )


def spell_interval(low: float | None, high: float | None, digits: int) -> str:
    """Spell an interval in brackets; empty without one."""
    return "" if low is None else f" [{spell(low, digits)}, {spell(high, digits)}]"


def spell_pct(ratio: float | None) -> str:
    """Spell a ratio as a percentage."""
    return NONE if ratio is None else f"{spell(100 * ratio, 1)} %"


def draw_table(
    canvas: Canvas,
    y: float,
    groups: Sequence[tuple[str, list[tuple[str, int]]]],
    rows: Sequence[list[str]],
) -> float:
    """Draw a table with grouped heads over the whole width.

    Parameters
    ----------
    canvas : analysis.canvas.Canvas
    y : float
        Its upper end, in points.
    groups : list of (str, list of (str, float))
        Head of a group, and of each of its columns the head and the width in points.
    rows : list of list of str
        Cells.

    Returns
    -------
    float
        Its lower end.
    """
    deepest = max(head.count("\n") + 1 for _, columns in groups for head, _ in columns)
    top = y + 12
    body = top + deepest * (theme.TEXT_PT + 2) + 4
    x, lefts, names, rules, heads = 0.0, [], [], [], []
    for name, columns in groups:
        if name:
            width = sum(each for _, each in columns)
            names.append(make_text(x, y + 4, name))
            rules.append(make_box(x, y + 9.5, width - 6, 0, "#888888"))
        for head, each in columns:
            heads.append(make_text(x, top, head, theme.GREY))
            lefts.append(x)
            x += each
    middles = [body + (number + 0.5) * ROW_PT for number in range(len(rows))]
    canvas.add_boxes(
        [
            make_box(-3, middle - ROW_PT / 2, WIDTH_PT + 3, ROW_PT, "#F6F6F6")
            for middle in middles[::2]
        ]
    )
    canvas.add_texts(names, weight="bold")
    canvas.add_lines(rules, 0.5)
    canvas.add_texts(heads, baseline="top")
    canvas.add_texts(
        [
            make_text(left, middle, cell)
            for middle, cells in zip(middles, rows, strict=True)
            for left, cell in zip(lefts, cells, strict=True)
        ]
    )
    return body + ROW_PT * len(rows)


def cut(text: str, width_pt: int) -> str:
    """Cut a text that would be wider than a column, and say so by three dots."""
    most = int(width_pt / (theme.CHARACTER_EM * theme.TEXT_PT))
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


def find_ticks(low: float, high: float) -> list[float]:
    """Find round values inside a range.

    Parameters
    ----------
    low, high : float

    Returns
    -------
    list of float
        About `TICK_COUNT`; at most half as many more.
    """
    if not high > low:
        return [low]
    least = (high - low) / (1.5 * TICK_COUNT)
    power = 10 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= 0.999 * least)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


@dataclass(frozen=True)
class Panel:
    """A rectangle of the sheet and the values at its ends; `high_y` is at its upper end."""

    x: float
    y: float
    width: float
    height: float
    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def place_x(self, value: float) -> float:
        """Place a value, in points."""
        return self.x + self.width * (value - self.low_x) / (self.high_x - self.low_x)

    def place_y(self, value: float) -> float:
        """Place a value, in points."""
        return self.y + self.height * (self.high_y - value) / (self.high_y - self.low_y)

    def draw_axes(
        self,
        canvas: Canvas,
        x_title: str,
        y_title: str,
        spell_y: Callable[[float], str] | None = None,
    ) -> None:
        """Draw the frame, ticks, and titles: that of the vertical axis above it."""
        # At tick distances a number is told from the next one by its shortest form.
        spell_y = spell_y or _spell_tick
        lines, texts, labels = [], [], []
        for value in find_ticks(self.low_x, self.high_x):
            place = self.place_x(value)
            lines.append(make_box(place, self.y, 0, self.height, "#EBEBEB"))
            texts.append(make_text(place, self.y + self.height + 6, _spell_tick(value)))
        for value in find_ticks(self.low_y, self.high_y):
            place = self.place_y(value)
            lines.append(make_box(self.x, place, self.width, 0, "#EBEBEB"))
            labels.append(make_text(self.x - 3, place, spell_y(value)))
        canvas.add_lines(lines, 0.5)
        canvas.add_texts(texts, align="center")
        canvas.add_texts(labels, align="right")
        middle = self.x + self.width / 2
        canvas.add_texts(
            [make_text(middle, self.y + self.height + 16, x_title)],
            align="center",
            size=theme.TEXT_PT + 0.5,
        )
        canvas.add_texts([make_text(self.x, self.y - 7, y_title)], size=theme.TEXT_PT + 0.5)

    def draw_frame(self, canvas: Canvas) -> None:
        """Draw the four sides."""
        right, bottom = self.x + self.width, self.y + self.height
        sides = [
            make_box(self.x, self.y, self.width, 0, "#888888"),
            make_box(self.x, bottom, self.width, 0, "#888888"),
            make_box(self.x, self.y, 0, self.height, "#888888"),
            make_box(right, self.y, 0, self.height, "#888888"),
        ]
        canvas.add_lines(sides, 0.5)


def _spell_tick(value: float) -> str:
    return f"{value:.6g}".replace("-", "\u2212")
