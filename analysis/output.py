"""Writing a chart as PNG, SVG, PDF and one self-contained HTML page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vl_convert

from upscale_audit.analysis.fonts import choose_family
from upscale_audit.analysis.pages import compose_page, spell_text
from upscale_audit.analysis.pdf import draw_pdf
from upscale_audit.analysis.wide import WIDE
from upscale_audit.ingest.errors import FEW_HANDLES, StudyError
from upscale_audit.ingest.files import replacing, write_text

if TYPE_CHECKING:
    from re import Match

    import altair as alt


PRINT_DPI = 300
WIDEST_PT = 507
"""Of all figures, in points, with their padding: 179 mm."""
WIDTHS_MM = (174, 180, 190)
"""Widths of a page's text, or of two columns, that journals ask for: Springer's, Nature's,
Elsevier's and PLOS's."""
# Charts are laid out in points at print size; a screen shows them larger.
_STYLE = "#vis { zoom: 1.7; }\nbody { margin: 1rem; }\n"
# Expressions are interpreted, not compiled: the page's policy lets no text become a script. The
# menu has no editor, which sends the data away, and no view of the source, which escapes nothing.
_DRAW = """
{
  const spec = JSON.parse(document.getElementById("spec").textContent);
  const actions = { export: true, source: false, compiled: false, editor: false };
  vegaEmbed("#vis", spec, { mode: "vega-lite", renderer: "svg", ast: true, actions })
    .then(() => { document.body.dataset.state = "drawn"; })
    .catch((error) => { document.getElementById("vis").textContent = error; });
}
"""


@dataclass(frozen=True)
class Print:
    """How figures are printed.

    Attributes
    ----------
    plain : bool
        Without title and caption, which a journal sets itself; the HTML page keeps them.
    width_mm : int or None
        Of `WIDTHS_MM`: how wide the widest figure is. All are scaled alike, so that their letters
        are of one size. None: as they are laid out, 179 mm.
    """

    plain: bool = False
    width_mm: int | None = None

    @property
    def factor(self) -> float:
        """Size in print over the size that is laid out."""
        return 1.0 if self.width_mm is None else self.width_mm / 25.4 * 72 / WIDEST_PT


AS_LAID_OUT = Print()


def write_chart(
    chart: alt.TopLevelMixin,
    folder: Path,
    name: str,
    form: Print = AS_LAID_OUT,
) -> list[Path]:
    """Write a chart in four formats, each file whole or absent.

    Parameters
    ----------
    chart : altair.TopLevelMixin
        Laid out in points (1/72 inch).
    folder : Path
    name : str
        File name without its ending.
    form : Print

    Returns
    -------
    list of Path
        The PNG (300 dpi at print size), the SVG and the PDF (vector, in points) and the HTML
        page, which holds its scripts and needs no network.

    Raises
    ------
    StudyError
        The renderer could not start.
    """
    paths = [folder / f"{name}.{ending}" for ending in ("png", "svg", "pdf", "html")]
    spec = _spell(chart)
    printed = {key: value for key, value in spec.items() if key != "title"} if form.plain else spec
    svg = _renumber(_render(printed))
    with replacing(paths[0]) as temporary:
        png = vl_convert.svg_to_png(svg, scale=form.factor, ppi=PRINT_DPI)
        temporary.write_bytes(png)
    write_text(paths[1], _to_points(svg, form.factor))
    with replacing(paths[2]) as temporary:
        temporary.write_bytes(draw_pdf(svg, form.factor))
    write_text(paths[3], _compose(spec, name))
    return paths


def read_caption(chart: alt.TopLevelMixin) -> tuple[str, str]:
    """Read a chart's title and its caption, each as one line, whatever lines they are drawn in.

    Parameters
    ----------
    chart : altair.TopLevelMixin
        With a title of `analysis.theme.make_title`, or of its kind.

    Returns
    -------
    title, caption : str
    """
    title = chart.to_dict().get("title", "")
    if isinstance(title, str):
        return spell_text(title), ""
    return _join(title.get("text", "")), _join(title.get("subtitle", ""))


def _join(lines: str | Sequence[str]) -> str:
    """Join wrapped lines: without a space between two Japanese characters."""
    lines = [lines] if isinstance(lines, str) else [line for line in lines if line]
    text = spell_text(" ".join(lines)).replace("\u00a0", " ")
    return re.sub(rf"(?<=[{WIDE}]) (?=[{WIDE}])", "", text)


def measure_height(chart: alt.TopLevelMixin) -> float:
    """Height of a chart as it is laid out, in points."""
    svg = _render(_spell(chart))
    found = re.search(r'\bheight="([\d.]+)"(?=[^>]*viewBox)', svg[:400])
    if found is None:
        raise ValueError(f"expected an SVG with its height, found {svg[:80]!r}")
    return float(found[1])


def draw_svg(chart: alt.TopLevelMixin) -> str:
    """Draw a chart as SVG, in points; the same chart gives the same text."""
    return _to_points(_renumber(_render(_spell(chart))))


def _spell(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Spell a chart as JSON, in fonts that have what it says."""
    spec: dict[str, Any] = clean_spec(chart.to_dict())
    family = spec.get("config", {}).get("font")
    chosen = choose_family(_list_texts(spec), family)
    if chosen != family:
        spec["config"] = spec.get("config", {}) | {"font": chosen}
    return spec


def _list_texts(value: object) -> Iterator[str]:
    """List the texts of a chart, save pixels."""
    if isinstance(value, str):
        if not value.startswith("data:"):
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _list_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _list_texts(item)


def _render(spec: dict[str, Any]) -> str:
    """Draw a chart as SVG; a renderer that could not start, for want of file handles, says so."""
    try:
        return vl_convert.vegalite_to_svg(spec)
    except ValueError as error:
        if "oneshot canceled" not in str(error):
            raise
        raise StudyError(f"the renderer of figures did not start, {FEW_HANDLES}") from None


def clean_spec(value: object) -> Any:
    """Spell the texts of a chart so that each format can hold them; NaN is a missing value.

    Parameters
    ----------
    value : object
        A chart as JSON, or a part of it.

    Returns
    -------
    object
        As given, with every text as `analysis.pages.spell_text` spells it.
    """
    if isinstance(value, str):
        return spell_text(value)
    if isinstance(value, dict):
        return {spell_text(key): clean_spec(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_spec(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _compose(spec: Mapping[str, Any], name: str) -> str:
    title = spec.get("title", name)
    text = title.get("text", name) if isinstance(title, dict) else title
    return compose_page(
        " ".join(text) if isinstance(text, list) else text,
        '<div id="vis"></div>',
        styles=[_STYLE],
        data={"spec": spec},
        scripts=[_bundle_vega(), _DRAW],
    )


@cache
def _bundle_vega() -> str:
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _renumber(svg: str) -> str:
    """Count gradients and clips from 0; Vega counts them over all drawings of a process."""
    numbers: dict[str, int] = {}
    return re.sub(
        r'(?<=[#"])(gradient_|clip)(\d+)(?=[")])',
        lambda match: match[1] + str(numbers.setdefault(match[0], len(numbers))),
        svg,
    )


def _to_points(svg: str, factor: float = 1.0) -> str:
    """Give the drawing its print size: a bare number would be read as CSS pixels."""
    head, tail = svg[:400], svg[400:]

    def scale(match: Match[str]) -> str:
        size = float(match[2]) * factor
        return f'{match[1]}="{match[2] if factor == 1 else f"{size:.3f}"}pt"'

    return re.sub(r'\b(width|height)="([\d.]+)"(?=[^>]*viewBox)', scale, head) + tail
