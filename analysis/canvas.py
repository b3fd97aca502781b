"""Tables and matrices as one chart: marks placed in points, the origin at the upper left."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from upscale_audit.analysis import theme


class Canvas:
    """Marks in the order in which they are drawn; a list without rows adds nothing."""

    def __init__(self) -> None:
        self._layers: list[tuple[list[dict[str, Any]], Mapping[str, Any], tuple[str, ...]]] = []

    def add_boxes(
        self, rows: Sequence[dict[str, Any]], stroke: str | None = None, stroke_width: float = 0.4
    ) -> None:
        """Add rectangles: x, y, x2, y2 in points, colour."""
        mark = {"type": "rect", "stroke": stroke, "strokeWidth": stroke_width}
        self._add(rows, mark, ("x", "x2", "y", "y2", "colour"))

    def add_lines(self, rows: Sequence[dict[str, Any]], width: float = 0.75) -> None:
        """Add straight lines, horizontal or vertical: x, y, x2, y2 in points, colour."""
        self._add(rows, {"type": "rule", "strokeWidth": width}, ("x", "x2", "y", "y2", "colour"))

    def add_points(
        self, rows: Sequence[dict[str, Any]], size: int = 16, stroke: str | None = theme.BLACK
    ) -> None:
        """Add symbols: x, y in points, shape, fill."""
        mark = {"type": "point", "size": size, "stroke": stroke, "strokeWidth": 0.65, "opacity": 1}
        self._add(rows, mark, ("x", "y", "shape", "fill"))

    def add_texts(
        self,
        rows: Sequence[dict[str, Any]],
        align: str = "left",
        size: float = theme.TEXT_PT,
        baseline: str = "middle",
        weight: str = "normal",
    ) -> None:
        """Add texts: x, y in points, text, colour."""
        mark = {
            "type": "text",
            "align": align,
            "baseline": baseline,
            "fontSize": size,
            "fontWeight": weight,
            "lineHeight": size + 2,
        }
        self._add(rows, mark, ("x", "y", "text", "colour"))

    def draw(self, width: float, height: float, title: alt.TitleParams) -> alt.LayerChart:
        """Draw the marks on a sheet.

        Parameters
        ----------
        width, height : float
            In points.
        title : altair.TitleParams

        Returns
        -------
        altair.LayerChart
        """
        x = alt.Scale(domain=[0, width], nice=False, zero=False)
        y = alt.Scale(domain=[0, height], nice=False, zero=False, reverse=True)
        channels = {
            "x": alt.X("x:Q", axis=None, scale=x),
            "y": alt.Y("y:Q", axis=None, scale=y),
            "x2": "x2:Q",
            "y2": "y2:Q",
            "text": "text:N",
            # The rows hold the colours and shapes themselves.
            "colour": alt.Color("colour:N", scale=None),
            "fill": alt.Fill("fill:N", scale=None),
            "shape": alt.Shape("shape:N", scale=None),
        }
        layers = [
            alt.Chart(theme.make_data(rows), mark=mark).encode(
                **{{"colour": "color"}.get(name, name): channels[name] for name in names}
            )
            for rows, mark, names in self._layers
        ]
        return alt.layer(
            *layers, width=width, height=height, title=title, view=alt.ViewConfig(stroke=None)
        )

    def _add(
        self, rows: Sequence[dict[str, Any]], mark: Mapping[str, Any], names: tuple[str, ...]
    ) -> None:
        if not rows:
            return
        places = {"x", "x2", "y", "y2"}
        kept = [
            {name: round(float(row[name]), 2) if name in places else row[name] for name in names}
            for row in rows
        ]
        self._layers.append((kept, mark, names))


def make_text(x: float, y: float, text: str, colour: str = theme.BLACK) -> dict[str, Any]:
    """Make a row of `Canvas.add_texts`."""
    return {"x": x, "y": y, "text": text, "colour": colour}


def make_box(x: float, y: float, width: float, height: float, colour: str) -> dict[str, Any]:
    """Make a row of `Canvas.add_boxes`, or with a zero width or height one of `add_lines`."""
    return {"x": x, "y": y, "x2": x + width, "y2": y + height, "colour": colour}


def make_point(x: float, y: float, fill: str, shape: str = "circle") -> dict[str, Any]:
    """Make a row of `Canvas.add_points`."""
    return {"x": x, "y": y, "fill": fill, "shape": shape}
