"""The plots of a page: two films that move together, and the histogram that is brushed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.layouts import column, gridplot
from bokeh.models import (
    BoxAnnotation,
    BoxSelectTool,
    ColorBar,
    ColumnDataSource,
    CrosshairTool,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    PanTool,
    Range1d,
    ResetTool,
    Span,
    TapTool,
    WheelZoomTool,
)
from bokeh.plotting import figure

from upscale_audit.analysis import theme
from upscale_audit.analysis.explore.colours import find_range, make_colours
from upscale_audit.analysis.explore.outlines import BLOCK_PX
from upscale_audit.analysis.explore.views import count_bins

if TYPE_CHECKING:
    import numpy.typing as npt
    from bokeh.models import GlyphRenderer

    from upscale_audit.analysis.explore.outlines import Line, NamedPlace
    from upscale_audit.analysis.explore.pixels import Film
    from upscale_audit.analysis.explore.quantities import Quantity
    from upscale_audit.analysis.explore.views import View

    Layers = tuple[GlyphRenderer, GlyphRenderer, list[GlyphRenderer], list[GlyphRenderer]]
    """Film, map, boxes and outlines of one figure."""


ZOOM_BLOCKS = 12
"""Blocks around one that is zoomed to."""
_GREYS = [f"#{grey:02x}{grey:02x}{grey:02x}" for grey in range(256)]
_CLEAR = "#00000000"
_PICKED = "#ffd400"


class Films:
    """Reference and restored image, each under the map of the blocks.

    Attributes
    ----------
    figures : list of bokeh.plotting.figure
        Of the reference and of the restored image.
    layout : object
        Both, side by side.
    """

    def __init__(self) -> None:
        self._x, self._y = Range1d(0, 1), Range1d(1, 0)
        self._mapper = LinearColorMapper(palette=_GREYS, nan_color=_CLEAR)
        self._map = ColumnDataSource({"image": [], "dw": [], "dh": []})
        self._boxes = ColumnDataSource(
            {"name": [], "left": [], "right": [], "top": [], "bottom": []}
        )
        self._edges = ColumnDataSource({"x1": [], "y1": [], "x2": [], "y2": []})
        self._regions = ColumnDataSource({"name": [], "x": [], "y": []})
        self._picked = ColumnDataSource({"left": [0], "right": [0], "top": [0], "bottom": [0]})
        self._cross = [Span(dimension=side, line_alpha=0.5) for side in ("height", "width")]
        self._films = [ColumnDataSource({"image": [], "dw": [], "dh": []}) for _ in range(2)]
        self._layers: list[Layers] = []
        self.figures: list[figure] = []
        for source in self._films:
            self._add_figure(source)
        pair = gridplot([self.figures], sizing_mode="stretch_width", toolbar_location="above")
        pair.spacing, pair.toolbar.logo = 14, None
        self.layout = column(pair, self._make_bar(), sizing_mode="stretch_width")

    def _make_bar(self) -> figure:
        """Make the map's scale, beside the figures: within one it would shrink the film."""
        bare = figure(height=52, toolbar_location=None, tools=[], x_range=(0, 1), y_range=(0, 1))
        bare.update(sizing_mode="stretch_width", min_border=0, outline_line_color=None)
        bare.axis.visible = bare.grid.visible = False
        bare.scatter([], [])
        self._bar = ColorBar(
            color_mapper=self._mapper,
            orientation="horizontal",
            location="center_left",
            width=300,
            height=12,
            padding=0,
            title_text_font_size="13px",
            title_text_font_style="normal",
            major_label_text_font_size="12px",
        )
        bare.add_layout(self._bar)
        return bare

    def _add_figure(self, source: ColumnDataSource) -> None:
        plot = figure(
            x_range=self._x,
            y_range=self._y,
            tools=[PanTool(), WheelZoomTool(), TapTool(), ResetTool()],
            toolbar_location=None,
            sizing_mode="stretch_width",
            background_fill_color="#ffffff",
            min_border=0,
        )
        plot.axis.visible = False
        plot.grid.visible = False
        grey = LinearColorMapper(palette=_GREYS, low=0, high=255)
        place = {"x": 0, "y": 0, "dw": "dw", "dh": "dh", "source": source}
        film = plot.image("image", color_mapper=grey, **place)
        shown = plot.image("image", color_mapper=self._mapper, **(place | {"source": self._map}))
        sides = {"left": "left", "right": "right", "top": "top", "bottom": "bottom"}
        boxes = [
            plot.quad(
                **sides, source=self._boxes, fill_alpha=0, line_color=theme.ORANGE, line_width=2
            ),
            plot.text(
                x="left",
                y="top",
                text="name",
                source=self._boxes,
                text_color="#000000",
                background_fill_color=theme.ORANGE,
                text_font_size="12px",
                text_baseline="bottom",
            ),
        ]
        ends = {"x0": "x1", "y0": "y1", "x1": "x2", "y1": "y2", "source": self._edges}
        outlines = [
            *(
                plot.segment(**ends, line_color=color, line_width=width)
                for color, width in (("#000000", 3), (theme.SKY, 1.5))
            ),
            plot.text(
                x="x",
                y="y",
                text="name",
                source=self._regions,
                text_color="#000000",
                background_fill_color=theme.SKY,
                text_font_size="12px",
                text_align="center",
                text_baseline="middle",
            ),
        ]
        for color, width in (("#000000", 4), (_PICKED, 2)):
            plot.quad(
                **sides, source=self._picked, fill_alpha=0, line_color=color, line_width=width
            )
        plot.add_tools(CrosshairTool(overlay=self._cross))
        tips = [("row, column (px)", "$y{0}, $x{0}"), ("value", "@image{0.0000}")]
        plot.add_tools(HoverTool(renderers=[shown], tooltips=tips))
        self.figures.append(plot)
        self._layers.append((film, shown, boxes, outlines))

    def show_films(
        self, films: tuple[Film, Film], shape: tuple[int, int], boxes: list[dict[str, Any]]
    ) -> None:
        """Show the pixels of both images, white where there are none, and an image's marks."""
        height, width = (BLOCK_PX * length for length in shape)
        self._map_size = width, height
        known = [film.grey.shape for film in films if film.grey is not None]
        self._size = known[0][::-1] if known else (width, height)
        for source, film in zip(self._films, films, strict=True):
            grey = np.full((1, 1), 255, np.uint8) if film.grey is None else film.grey
            source.data = {"image": [grey], "dw": [self._size[0]], "dh": [self._size[1]]}
        self._boxes.data = {
            "name": [box["name"] for box in boxes],
            "left": [box["left_px"] for box in boxes],
            "right": [box["left_px"] + box["width_px"] for box in boxes],
            "top": [box["top_px"] for box in boxes],
            "bottom": [box["top_px"] + box["height_px"] for box in boxes],
        }
        for plot in self.figures:
            plot.aspect_ratio = self._size[0] / self._size[1]

    def show_outlines(self, lines: Sequence[Line], names: Sequence[NamedPlace]) -> None:
        """Show where regions end, and their names: `analysis.explore.outlines.read_outlines`."""
        ends = zip(*lines, strict=True) if lines else ([] for _ in range(4))
        self._edges.data = dict(zip(("x1", "y1", "x2", "y2"), map(list, ends), strict=True))
        columns = zip(*names, strict=True) if names else ([] for _ in range(3))
        self._regions.data = dict(zip(("name", "x", "y"), map(list, columns), strict=True))

    def show_layers(
        self,
        number: int,
        *,
        has_film: bool,
        has_map: bool,
        opacity: float,
        has_boxes: bool,
        has_outlines: bool,
    ) -> None:
        """Show some layers of one of the figures."""
        film, shown, boxes, outlines = self._layers[number]
        film.visible, shown.visible = has_film, has_map
        shown.glyph.global_alpha = opacity
        for marks, is_shown in ((boxes, has_boxes), (outlines, has_outlines)):
            for mark in marks:
                mark.visible = is_shown

    def show_map(self, values: npt.NDArray[np.float64], quantity: Quantity, limit: float) -> None:
        """Show values of blocks, (R, C) float64 array; NaN is clear."""
        low, high = find_range(quantity.scale, limit)
        palette = [
            f"#{red:02x}{green:02x}{blue:02x}{hides:02x}"
            for red, green, blue, hides in make_colours(quantity.scale)
        ]
        self._mapper.update(low=low, high=high, palette=palette)
        self._bar.title = quantity.title
        width, height = self._map_size
        self._map.data = {"image": [values.astype(np.float32)], "dw": [width], "dh": [height]}

    def mark_block(self, block: tuple[int, int]) -> None:
        """Frame one block."""
        top, left = (BLOCK_PX * place for place in block)
        self._picked.data = {
            "left": [left],
            "right": [left + BLOCK_PX],
            "top": [top],
            "bottom": [top + BLOCK_PX],
        }

    def zoom_to(self, block: tuple[int, int]) -> None:
        """Show a block and what is around it."""
        reach = BLOCK_PX * ZOOM_BLOCKS / 2
        row_px, col_px = (BLOCK_PX * (place + 0.5) for place in block)
        ratio = self._size[1] / self._size[0]
        self._x.update(start=col_px - reach, end=col_px + reach)
        self._y.update(start=row_px + reach * ratio, end=row_px - reach * ratio)

    def zoom_out(self) -> None:
        """Show the whole image."""
        width, height = self._size
        for side, start, end in ((self._x, 0, width), (self._y, height, 0)):
            side.update(start=start, end=end, reset_start=start, reset_end=end)


class Histogram:
    """How many blocks have which value; a range of it may be chosen.

    Attributes
    ----------
    figure : object
    """

    def __init__(self) -> None:
        self._bins = ColumnDataSource({"left": [], "right": [], "top": []})
        select = BoxSelectTool(dimensions="width")
        self.figure = figure(
            height=150,
            sizing_mode="stretch_width",
            y_axis_type="log",
            y_axis_label="blocks",
            tools=[select],
            toolbar_location=None,
            min_border=4,
            x_range=Range1d(0, 1),
            y_range=Range1d(0.7, 1),
        )
        self.figure.toolbar.active_drag = select
        # Of few blocks Bokeh's own choice of numbers overprints.
        self.figure.yaxis.ticker = FixedTicker(ticks=[10**power for power in range(10)])
        self.figure.quad(
            left="left",
            right="right",
            top="top",
            bottom=0.7,
            source=self._bins,
            color=theme.GREY,
            line_color="#ffffff",
            nonselection_alpha=1,
        )
        self._range = BoxAnnotation(fill_color=_PICKED, fill_alpha=0.35, line_color="#8a6d00")
        self.figure.add_layout(self._range)
        self.figure.ygrid.grid_line_color = self.figure.xgrid.grid_line_color = "#ebebeb"

    def show(self, values: npt.NDArray[np.float64], view: View) -> None:
        """Count values, and mark the range that the view's brush holds."""
        counts, edges = count_bins(values)
        self._bins.data = {"left": edges[:-1], "right": edges[1:], "top": counts}
        self.figure.x_range.update(start=edges[0], end=edges[-1])
        self.figure.y_range.update(start=0.7, end=1.3 * max(1, counts.max()))
        self.figure.xaxis.axis_label = view.brushed.title
        self._range.update(left=view.low, right=view.high, visible=view.has_brush)
