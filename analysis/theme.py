"""One look for all figures: sizes in points at print size, fonts, colours, captions."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from upscale_audit.ingest.wording import count_noun

if TYPE_CHECKING:
    import numpy.typing as npt


SINGLE_COLUMN_PT = 252
DOUBLE_COLUMN_PT = 504
# vl-convert carries this font, so that text has one width on every machine.
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
TEXT_PT, CAPTION_PT, TITLE_PT = 7, 7.5, 9
# Width of a character, in the font size: the widest line of the captions here, not the mean.
CHARACTER_EM = 0.53
# Lines of a label on an axis, and as many as one is placed for.
LINE_PT = TEXT_PT + 1.5
MOST_LINES = 9
MOST_NAMED = 12
"""Of a list within a sentence."""

# Okabe and Ito, https://jfly.uni-koeln.de/color/
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
MESSAGE = "message"
"""Key under which a chart without data says why; no renderer shows it."""
GREY, PALE_GREY, NULL_GREY = "#6B6B6B", "#D9D9D9", "#8C8C8C"


_LOOK = {
    "font": FONT,
    "lineBreak": "\n",
    "background": "white",
    "padding": 4,
    "view": alt.ViewConfig(stroke=PALE_GREY, strokeWidth=0.5),
    "title": alt.TitleConfig(
        anchor="start",
        frame="bounds",
        fontSize=TITLE_PT,
        fontWeight="bold",
        subtitleFontSize=CAPTION_PT,
        subtitleColor="#333333",
        subtitleLineHeight=CAPTION_PT + 2,
        subtitlePadding=4,
        offset=8,
    ),
    "axis": alt.AxisConfig(
        labelFontSize=TEXT_PT,
        titleFontSize=TEXT_PT + 0.5,
        titleFontWeight="normal",
        titlePadding=4,
        labelPadding=2,
        tickSize=3,
        gridColor="#EBEBEB",
        gridWidth=0.5,
        domainColor="#888888",
        domainWidth=0.5,
        tickColor="#888888",
        tickWidth=0.5,
        labelLimit=0,
        labelSeparation=3,
        titleLimit=0,
    ),
    "header": alt.HeaderConfig(
        labelFontSize=TEXT_PT + 0.5,
        labelLineHeight=TEXT_PT + 2,
        labelPadding=3,
        labelAnchor="start",
        labelLimit=0,
    ),
    "legend": alt.LegendConfig(
        orient="top",
        labelFontSize=TEXT_PT,
        titleFontSize=TEXT_PT,
        titleFontWeight="normal",
        labelLimit=0,
        titleLimit=0,
        symbolSize=28,
        titleOrient="left",
        titlePadding=6,
        offset=4,
        padding=0,
    ),
    "text": alt.MarkConfig(fontSize=TEXT_PT),
}


def make_title(
    title: str, caption: Sequence[str], width_pt: float = DOUBLE_COLUMN_PT
) -> alt.TitleParams:
    """Make a figure's title and its caption, wrapped to the figure's width.

    Parameters
    ----------
    title : str
    caption : list of str
        Sentences; one that says nothing (empty or None) is left out.
    width_pt : float

    Returns
    -------
    altair.TitleParams
    """
    text = " ".join(sentence for sentence in caption if sentence)
    # A number stays on the line of its unit.
    text = re.sub(r"(?<=\d) (?=%)|(?<=\bn) (?==)|(?<==) (?=\d)", "\u00a0", text)
    lines = textwrap.wrap(text, int(width_pt / (CAPTION_PT * CHARACTER_EM)))
    heads = textwrap.wrap(title, int(width_pt / (TITLE_PT * CHARACTER_EM)))
    return alt.TitleParams(heads[0] if len(heads) == 1 else heads, subtitle=lines or [""])


def add_sentence(chart: alt.TopLevelMixin, sentence: str) -> alt.TopLevelMixin:
    """Put a sentence before the caption of a chart that has a title of `make_title`."""
    lines = textwrap.wrap(sentence, int(DOUBLE_COLUMN_PT / (CAPTION_PT * CHARACTER_EM)))
    chart.title.subtitle = [*lines, *(line for line in chart.title.subtitle if line)]
    return chart


def name_some(names: Sequence[str]) -> str:
    """Name the first of some names, and say how many more there are."""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def finish(chart: alt.TopLevelMixin, font: str = FONT) -> alt.TopLevelMixin:
    """Give a top-level chart the project's look."""
    return chart.configure(**(_LOOK | {"font": font}))


def draw_message(title: str, caption: Sequence[str], message: str) -> alt.Chart:
    """Draw a figure that says in words why it shows no data."""
    text = textwrap.wrap(message, int(DOUBLE_COLUMN_PT / (TITLE_PT * CHARACTER_EM)) - 10)
    data = make_data([{"message": "\n".join(text)}])
    return (
        alt.Chart(data, width=DOUBLE_COLUMN_PT - 10, height=70)
        .mark_text(fontSize=TITLE_PT, color=GREY, lineHeight=TITLE_PT + 3)
        .encode(text="message:N")
        .properties(title=make_title(title, caption), usermeta={MESSAGE: message})
    )


def find_message(chart: alt.TopLevelMixin) -> str | None:
    """Give what a chart says in place of data; None where it shows some."""
    usermeta = getattr(chart, "usermeta", alt.Undefined)
    return usermeta.get(MESSAGE) if isinstance(usermeta, dict) else None


def make_data(rows: Sequence[dict[str, Any]]) -> alt.InlineData:
    """Put rows into the chart itself: no URL, no row limit, the same bytes each time."""
    return alt.InlineData(values=rows)


def break_label(label: str, characters: int = 32) -> str:
    """Break a long name at its separators and spaces, so that it fits beside an axis."""
    words, lines = "", []
    for piece in _pieces(label, characters):
        if words and len(words) + len(piece) > characters:
            lines.append(words)
            words = ""
        words += piece
    return "\n".join([*lines, words])


def _pieces(label: str, characters: int) -> Iterator[str]:
    start = 0
    for position, character in enumerate(label, start=1):
        if character in "_-. " or position - start == characters or position == len(label):
            yield label[start:position]
            start = position


def make_model_axis(**options: bool) -> alt.Axis:
    """Make a vertical axis of model names, whose further lines stay within their row."""
    # Vega puts a label's first line where a single line would be: the baseline takes two lines to
    # their row's middle, an offset those of more.
    lines = "length(split(datum.label, '\\n'))"
    baseline = {"condition": {"test": f"{lines} > 1", "value": "bottom"}, "value": "middle"}
    offset = {
        "condition": [
            {"test": f"{lines} == {count}", "value": -(count - 2) * LINE_PT / 2}
            for count in range(3, MOST_LINES + 1)
        ],
        "value": 0,
    }
    return alt.Axis(
        ticks=False,
        domain=False,
        labelBaseline=baseline,
        labelLineHeight=LINE_PT,
        labelOffset=offset,
        **options,
    )


def label_width(labels: Iterable[str]) -> float:
    """Width of the widest label beside an axis, in points, with its padding."""
    lines = [line for label in labels for line in label.split("\n")]
    return 8 + max((text_width(line) for line in lines), default=0)


def text_width(text: str) -> float:
    """Width that a line of text needs at most, in points."""
    return 0.56 * TEXT_PT * len(text)


def row_height(labels: Iterable[str], least: float) -> float:
    """Height of a row that holds the tallest label."""
    lines = max((label.count("\n") + 1 for label in labels), default=1)
    return max(least, lines * LINE_PT + 3)


def diverging_colours(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Colours of values in -1..1: blue, white, red.

    Parameters
    ----------
    values : numpy.ndarray
        Any shape, dimensionless, -1..1; NaN gets the grey of missing values.

    Returns
    -------
    numpy.ndarray
        The shape of `values` with 3 added, uint8, sRGB.

    Notes
    -----
    Straight lines in OKLab from one white to two ends of equal lightness: equal steps of
    the value look equally large on both sides, and a grey print shows the distance from 0.

    References
    ----------
    Ottosson, B. (2020). A perceptual color space for image processing.
    https://bottosson.github.io/posts/oklab/
    """
    white, blue, red = (0.975, 0.0, 0.0), (0.40, -0.035, -0.125), (0.40, 0.150, 0.085)
    values = np.asarray(values, dtype=float)
    missing = np.isnan(values)
    distance = np.abs(np.where(missing, 0.0, values))[..., None].clip(0, 1)
    end = np.where((values > 0)[..., None], red, blue)
    colours = _oklab_to_srgb(np.asarray(white) * (1 - distance) + end * distance)
    colours[missing] = [int(NULL_GREY[index : index + 2], 16) for index in (1, 3, 5)]
    return colours


def _oklab_to_srgb(lab: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    to_cone = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = ((lab @ to_cone.T) ** 3 @ to_linear.T).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    found: npt.NDArray[np.uint8] = np.rint(255 * encoded.clip(0, 1)).astype(np.uint8)
    return found


def to_hex(colours: npt.NDArray[np.uint8]) -> list[str]:
    """Spell colours of shape (N, 3) as CSS does."""
    return ["#" + "".join(f"{channel:02x}" for channel in colour) for colour in colours]


def count_span(counts: Sequence[int], noun: str) -> str:
    """Say the smallest and the largest of several counts, or the one they share."""
    low, high = min(counts), max(counts)
    return count_noun(low, noun) if low == high else f"{low:,} to {high:,} {noun}s"


def describe_intervals(rows: Sequence[dict[str, Any]], low: str, method: str | None = None) -> str:
    """Say in a sentence or two what the intervals of some rows are, and which lack one.

    Parameters
    ----------
    rows : list of dict
        With cluster_unit, cluster_count and the column named by `low`.
    low : str
        Column with the lower end.
    method : str, optional
        Whose intervals they are; of the bootstrap if not given.

    Returns
    -------
    str
    """
    with_interval = [row for row in rows if row[low] is not None]
    without = [row for row in rows if row[low] is None]
    text = ""
    if with_interval:
        clusters = count_span([row["cluster_count"] for row in with_interval], "cluster")
        name = f"intervals of {method}" if method else "bootstrap intervals"
        text = f"Bars: 95 % {name} over {clusters} ({_unit(with_interval)})"
        text += "." if method else ", stretched for few."
    # What others have an interval with is not too few.
    enough = min((row["cluster_count"] for row in with_interval), default=math.inf)
    flat = [row for row in without if row["cluster_count"] >= enough]
    without = [row for row in without if row["cluster_count"] < enough]
    if without:
        few = count_span([row["cluster_count"] for row in without], "cluster")
        which = "Points without a bar have no interval" if with_interval else "No intervals"
        text += f" {which}: {few} ({_unit(without)}) are too few{'' if method else ' to resample'}."
    if flat:
        which = "Others" if without else "Points without a bar"
        text += f" {which} have none, for all values are equal or too few clusters have one."
    return text.strip()


def _unit(rows: Sequence[dict[str, Any]]) -> str:
    names = {"patient": "patients", "image": "images", "mixed": "patients, or images without one"}
    units = sorted({row["cluster_unit"] for row in rows if row["cluster_unit"]})
    return "; ".join(names.get(unit, unit) for unit in units) or "none"
