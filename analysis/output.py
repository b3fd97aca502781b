"""Writing a chart as PNG, SVG and one self-contained HTML page."""

import io
import re

from upscale_audit.ingest.files import replacing, write_text

PRINT_DPI = 300
# Charts are laid out in points at print size; a screen shows them larger.
_SCREEN_STYLE = "<style>#vis { zoom: 1.7; } body { margin: 1rem; }</style>"


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
    """
    paths = [folder / f"{name}.{ending}" for ending in ("png", "svg", "html")]
    png = io.BytesIO()
    chart.save(png, format="png", ppi=PRINT_DPI)
    with replacing(paths[0]) as temporary:
        temporary.write_bytes(png.getvalue())
    svg = io.StringIO()
    chart.save(svg, format="svg")
    write_text(paths[1], _to_points(_renumber(svg.getvalue())))
    # Vega's online editor is left out of the menu: the page must not send data anywhere.
    options = {"renderer": "svg", "actions": {"editor": False, "export": True, "source": True}}
    page = chart.to_html(inline=True, embed_options=options)
    write_text(paths[2], page.replace("<head>", f"<head>\n{_SCREEN_STYLE}", 1))
    return paths


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
