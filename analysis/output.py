"""Writing a chart as PNG, SVG and one self-contained HTML page."""

import math
import re
from functools import cache

import vl_convert

from upscale_audit.analysis.pages import compose_page, spell_text
from upscale_audit.ingest.errors import FEW_HANDLES, StudyError
from upscale_audit.ingest.files import replacing, write_text

PRINT_DPI = 300
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


def write_chart(chart, folder, name):
    """Write a chart in three formats, each file whole or absent.

    Parameters
    ----------
    chart : altair.TopLevelMixin
        Laid out in points (1/72 inch).
    folder : Path
    name : str
        File name without its ending.

    Returns
    -------
    list of Path
        The PNG (300 dpi at print size), the SVG (vector, in points) and the HTML page,
        which holds its scripts and needs no network.

    Raises
    ------
    StudyError
        The renderer could not start.
    """
    paths = [folder / f"{name}.{ending}" for ending in ("png", "svg", "html")]
    spec = clean_spec(chart.to_dict())
    svg = _render(spec)
    with replacing(paths[0]) as temporary:
        temporary.write_bytes(vl_convert.svg_to_png(svg, ppi=PRINT_DPI))
    write_text(paths[1], _to_points(_renumber(svg)))
    write_text(paths[2], _compose(spec, name))
    return paths


def draw_svg(chart):
    """Draw a chart as SVG, in points; the same chart gives the same text."""
    return _to_points(_renumber(_render(clean_spec(chart.to_dict()))))


def _render(spec):
    """Draw a chart as SVG; a renderer that could not start, for want of file handles, says so."""
    try:
        return vl_convert.vegalite_to_svg(spec)
    except ValueError as error:
        if "oneshot canceled" not in str(error):
            raise
        raise StudyError(f"the renderer of figures did not start, {FEW_HANDLES}") from None


def clean_spec(value):
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


def _compose(spec, name):
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
def _bundle_vega():
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _renumber(svg):
    """Count gradients and clips from 0; Vega counts them over all drawings of a process."""
    numbers = {}
    return re.sub(
        r'(?<=[#"])(gradient_|clip)(\d+)(?=[")])',
        lambda match: match[1] + str(numbers.setdefault(match[0], len(numbers))),
        svg,
    )


def _to_points(svg):
    """Give the drawing its print size: a bare number would be read as CSS pixels."""
    head, tail = svg[:400], svg[400:]
    return re.sub(r'\b(width|height)="([\d.]+)"(?=[^>]*viewBox)', r'\1="\2pt"', head) + tail
