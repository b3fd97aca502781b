"""One page of the explorer: its controls, what they show, and what a reader does with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bokeh.events import ButtonClick, SelectionGeometry, Tap
from bokeh.layouts import column, row
from bokeh.models import (
    Button,
    CheckboxGroup,
    Div,
    NumericInput,
    RadioGroup,
    Select,
    TextAreaInput,
)

from upscale_audit.analysis.explore import markup
from upscale_audit.analysis.explore.explorer import read_share, spell_address
from upscale_audit.analysis.explore.plots import Films, Histogram
from upscale_audit.analysis.explore.saving import DEFAULT_OPACITY
from upscale_audit.analysis.explore.views import (
    find_farthest,
    order_ends,
    spell_block_query,
    spell_query,
)
from upscale_audit.ingest.errors import StudyError

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.model import Model
    from bokeh.models import LayoutDOM, Row

    from upscale_audit.analysis.explore.answers import Question
    from upscale_audit.analysis.explore.explorer import Explorer


PATH_NAMES = {"notta": "without augmentation (notta)", "tta": "with augmentation (tta)"}
OPACITIES = [(f"{tenths / 10:g}", f"{10 * tenths} %") for tenths in (2, 4, 6, 8, 10)]
SHOWN = ("Film", "Film and map", "Map")
_PIXELS = 8
"""Side of a block."""
_WORKERS = ThreadPoolExecutor(4, "sql")
_log = logging.getLogger(__name__)


class Page:
    """The page of one reader.

    Parameters
    ----------
    explorer : analysis.explore.explorer.Explorer
    document : bokeh.document.Document
        Gets the page; its request's words choose what is seen first.
    """

    def __init__(self, explorer: Explorer, document: Document) -> None:
        self._explorer, self._document = explorer, document
        words = _read_words(document)
        self._view = explorer.make_view(words)
        self._question: Question | None = None
        self._block, self._is_setting = (0, 0), False
        self._films, self._histogram = Films(), Histogram()
        self._make_choices()
        self._make_look(words)
        self._make_brush()
        self._make_block()
        self._make_sql()
        # Before the document has them: it takes events only of what it knew to listen to then.
        self._listen()
        self._lay_out()
        self._show_image()
        self._choose_farthest()
        self._show_table()

    # ---- controls -----------------------------------------------------------------------------

    def _make_choices(self) -> None:
        explorer, view = self._explorer, self._view
        quantities = explorer.quantities.values()
        labels = [(model, explorer.labels[model]) for model in explorer.models]
        self._model = _select("Model", labels, view.model_id)
        self._path = _select("Inference path", self._list_paths(), view.inference_path)
        self._image = _select("Image", [*explorer.images], view.image_id)
        self._quantity = _select("Map shows", markup.group(quantities), view.quantity.stem)
        self._meaning, self._tables_meaning = _text(), _text()

    def _make_look(self, words: Mapping[str, str]) -> None:
        self._over = [
            RadioGroup(labels=[*SHOWN], active=active, inline=True, name=name, **_look())
            for active, name in ((0, "Reference shows"), (1, "Restored shows"))
        ]
        opacity = words.get("opacity")
        opacity = opacity if opacity in dict(OPACITIES) else f"{DEFAULT_OPACITY:g}"
        self._opacity = _select("Opacity of the map", OPACITIES, opacity)
        full = read_share(words.get("full"), None)
        self._full = NumericInput(
            title="Full colour at", mode="float", low=0, value=full, **_look()
        )
        self._marks = CheckboxGroup(
            labels=["Finding boxes", "Edges of regions"], active=[0, 1], **_look()
        )

    def _make_brush(self) -> None:
        numbers = [item for item in self._explorer.quantities.values() if not item.is_flag]
        self._by = _select("Brush by", markup.group(numbers), self._view.brushed.stem)
        self._low = NumericInput(title="from", mode="float", width=120, **_style())
        self._high = NumericInput(title="to", mode="float", width=120, **_style())
        self._clear = Button(label="All blocks", width=110, **_style())
        self._seen = _text()

    def _make_block(self) -> None:
        self._row = NumericInput(title="Block row", low=0, value=0, width=120, **_style())
        self._col = NumericInput(title="Block column", low=0, value=0, width=120, **_style())
        self._farthest = Button(label="Farthest of those seen", width=250, **_style())
        self._zoom = Button(label="Zoom to it", width=120, **_style())
        self._whole = Button(label="Whole image", width=120, **_style())
        self._numbers, self._caption, self._files = _text(), _text(), _text()

    def _make_sql(self) -> None:
        self._sql = TextAreaInput(
            title="SQL, one query",
            value=spell_query(self._view),
            rows=9,
            max_length=100_000,
            **_look(),
        )
        self._run = Button(label="Run", button_type="primary", width=90, **_style())
        self._stop = Button(label="Stop", disabled=True, width=90, **_style())
        self._take_blocks = Button(label="Query of the blocks seen", width=190, **_style())
        self._take_block = Button(label="Query of the one block", width=180, **_style())
        tables = [*self._explorer.tables]
        self._table = _select("Table", tables, "fct_blocks" if "fct_blocks" in tables else "")
        self._answer = _text()

    def _lay_out(self) -> None:
        stretch = {"sizing_mode": "stretch_width"}
        over = [
            item for group in self._over for item in (_text(markup.paragraph(group.name)), group)
        ]
        parts = {
            "choose": column(
                self._model,
                self._path,
                self._image,
                self._quantity,
                self._meaning,
                *over,
                self._opacity,
                self._full,
                self._marks,
                **stretch,
            ),
            "caption": self._caption,
            "films": column(self._films.layout, **stretch),
            "brush": column(
                _row(self._by, self._low, self._high, self._clear, **stretch),
                self._histogram.figure,
                self._seen,
                **stretch,
            ),
            "block": column(
                _row(self._row, self._col),
                self._farthest,
                _row(self._zoom, self._whole),
                self._numbers,
                **stretch,
            ),
            "save": self._files,
            "ask": column(
                self._sql,
                _row(self._run, self._stop, self._take_blocks, self._take_block),
                **stretch,
            ),
            "tables": column(self._table, self._tables_meaning, **stretch),
            "answer": self._answer,
        }
        for name, part in parts.items():
            part.name = name
            self._document.add_root(part)
        markup.dress(self._document, self._explorer)

    def _listen(self) -> None:
        for control in (self._model, self._path, self._image):
            self._hear(control, "value", self._on_choice)
        self._hear(self._quantity, "value", self._on_quantity)
        for group in self._over:
            self._hear(group, "active", self._show_layers)
        self._hear(self._opacity, "value", self._show_layers)
        self._hear(self._marks, "active", self._show_layers)
        self._hear(self._full, "value", self._on_full)
        self._hear(self._by, "value", self._on_brushed_quantity)
        for end in (self._low, self._high):
            self._hear(end, "value", self._on_ends)
        for spinner in (self._row, self._col):
            self._hear(spinner, "value", self._on_place)
        self._hear(self._table, "value", self._show_table)
        clicks = {
            self._clear: lambda: self._brush(None, None),
            self._farthest: self._choose_farthest,
            self._zoom: lambda: self._films.zoom_to(self._block),
            self._whole: self._films.zoom_out,
            self._run: self._ask,
            self._stop: self._stop_asking,
            self._take_blocks: lambda: self._put(spell_query(self._view)),
            self._take_block: lambda: self._put(spell_block_query(self._view, self._block)),
        }
        for button, act in clicks.items():
            button.on_event(ButtonClick, lambda _, act=act: self._act(act))
        for figure in self._films.figures:
            figure.on_event(Tap, lambda event: self._act(partial(self._on_tap, event)))
        self._histogram.figure.on_event(
            SelectionGeometry, lambda event: self._act(partial(self._on_selection, event))
        )
        self._document.on_session_destroyed(lambda _: self._stop_asking())

    def _hear(self, control: Model, name: str, act: Callable[[], None]) -> None:
        """Act when a reader sets a control, and not when `_set` does."""
        control.on_change(name, lambda attr, old, new: None if self._is_setting else self._act(act))

    def _act(self, act: Callable[[], None]) -> None:
        """Act, and let the browser draw what came of it once."""
        self._document.hold("combine")
        try:
            act()
        finally:
            self._document.unhold()

    # ---- what a reader does -------------------------------------------------------------------

    def _on_choice(self) -> None:
        paths = self._explorer.models[self._model.value]
        path = self._path.value if self._path.value in paths else paths[0]
        before, self._view = (
            self._view,
            replace(
                self._view,
                model_id=self._model.value,
                inference_path=path,
                image_id=self._image.value,
            ),
        )
        self._set(self._path, options=self._list_paths(), value=path)
        self._show_image(is_same_image=before.image_id == self._view.image_id)

    def _on_quantity(self) -> None:
        quantity = self._explorer.quantities[self._quantity.value]
        self._view = replace(self._view, quantity=quantity)
        self._set(self._full, value=self._explorer.find_limit(self._view))
        self._show_map()

    def _on_full(self) -> None:
        if not self._full.value:
            self._set(self._full, value=self._explorer.find_limit(self._view))
        self._show_map()

    def _on_brushed_quantity(self) -> None:
        brushed = self._explorer.quantities[self._by.value]
        self._view = replace(self._view, brushed=brushed)
        self._brush(None, None)

    def _on_ends(self) -> None:
        if (self._low.value is None) == (self._high.value is None):
            self._brush(self._low.value, self._high.value)

    def _on_selection(self, event: SelectionGeometry) -> None:
        if event.final:
            self._brush(event.geometry["x0"], event.geometry["x1"])

    def _on_tap(self, event: Tap) -> None:
        if event.x is None or event.y is None:
            return
        rows, cols = self._explorer.images[self._view.image_id]
        block = int(event.y // _PIXELS), int(event.x // _PIXELS)
        if 0 <= block[0] < rows and 0 <= block[1] < cols:
            self._choose_block(block)

    def _on_place(self) -> None:
        self._choose_block((int(self._row.value or 0), int(self._col.value or 0)))

    def _brush(self, low: float | None, high: float | None) -> None:
        least, most = order_ends(low, high)
        self._view = replace(self._view, low=least, high=most)
        self._show_brush()
        self._show_map()

    def _choose_block(self, block: tuple[int, int]) -> None:
        self._place_block(block)
        self._show_block()

    def _place_block(self, block: tuple[int, int]) -> None:
        """Choose a block, or of a smaller image the nearest."""
        rows, cols = self._explorer.images[self._view.image_id]
        self._block = min(block[0], rows - 1), min(block[1], cols - 1)
        self._set(self._row, value=self._block[0])
        self._set(self._col, value=self._block[1])

    def _choose_farthest(self) -> None:
        self._choose_block(find_farthest(self._explorer.read_seen(self._view), self._view.quantity))

    def _put(self, sql: str) -> None:
        self._sql.value = sql

    def _ask(self) -> None:
        if self._question is not None:
            return
        try:
            self._question = self._explorer.desk.ask(self._sql.value)
        except StudyError as error:
            self._answer.text = markup.alarm(str(error))
            return
        self._run.disabled, self._stop.disabled = True, False
        self._answer.text = markup.paragraph("Running; Stop ends it.")
        _WORKERS.submit(self._wait_for, self._question, self._sql.value)

    def _wait_for(self, question: Question, sql: str) -> None:
        """Wait in a thread of its own; the page is touched only in its loop."""
        try:
            text = markup.tabulate_answer(question.read(), sql)
        except StudyError as error:
            text = markup.alarm(str(error))
        except Exception:
            _log.exception("a typed query failed")
            text = markup.alarm("failed: the terminal says how")
        self._document.add_next_tick_callback(partial(self._show_answer, text))

    def _stop_asking(self) -> None:
        if self._question is not None:
            self._question.stop()

    # ---- what is shown ------------------------------------------------------------------------

    def _show_image(self, *, is_same_image: bool = False) -> None:
        explorer, view = self._explorer, self._view
        rows, cols = explorer.images[view.image_id]
        films = explorer.read_films(view)
        self._films.show_films(films, (rows, cols), explorer.read_boxes(view.image_id))
        self._films.show_outlines(*explorer.read_outlines(view.image_id))
        self._caption.text = markup.caption(view, explorer.labels[view.model_id], films)
        self._set(self._row, high=rows - 1)
        self._set(self._col, high=cols - 1)
        if not is_same_image:
            self._films.zoom_out()
        if self._full.value is None:
            self._set(self._full, value=explorer.find_limit(view))
        self._place_block(self._block)
        self._show_layers()
        self._show_brush()
        self._show_map()

    def _show_layers(self) -> None:
        for number, group in enumerate(self._over):
            shown = SHOWN[group.active]
            self._films.show_layers(
                number,
                has_film="Film" in shown,
                has_map="map" in shown.lower(),
                # On its own a map is read by its scale, which stands on white.
                opacity=1.0 if shown == "Map" else float(self._opacity.value),
                has_boxes=0 in self._marks.active,
                has_outlines=1 in self._marks.active,
            )
        self._show_files()

    def _show_map(self) -> None:
        view = self._view
        self._films.show_map(self._explorer.read_seen(view), view.quantity, self._full.value)
        self._meaning.text = markup.meaning(view.quantity, view.inference_path)
        self._show_files()
        self._show_block()

    def _show_brush(self) -> None:
        view = self._view
        self._set(self._low, value=view.low)
        self._set(self._high, value=view.high)
        self._histogram.show(self._explorer.read_values(view, view.brushed), view)
        self._seen.text = markup.paragraph(self._explorer.describe_seen(view))

    def _show_block(self) -> None:
        explorer, view = self._explorer, self._view
        self._films.mark_block(self._block)
        numbers = explorer.read_block(view, self._block)
        self._numbers.text = markup.tabulate_block(
            numbers, self._block, explorer.quantities.values(), view
        )

    def _show_files(self) -> None:
        view, look = self._view, {"opacity": self._opacity.value}
        if self._full.value:
            look["full"] = f"{self._full.value:g}"
        self._files.text = markup.list_files(view, spell_address(view, **look))

    def _show_table(self) -> None:
        name = self._table.value
        self._tables_meaning.text = markup.describe_table(
            name, self._explorer.tables.get(name, ""), self._explorer.read_columns(name)
        )

    def _show_answer(self, text: str) -> None:
        self._question = None
        self._run.disabled, self._stop.disabled = False, True
        self._answer.text = text

    def _list_paths(self) -> list[tuple[str, str]]:
        return [(path, PATH_NAMES[path]) for path in self._explorer.models[self._view.model_id]]

    def _set(self, control: Model, **values: object) -> None:
        """Set a control without hearing of it."""
        self._is_setting = True
        try:
            control.update(**values)
        finally:
            self._is_setting = False


def _read_words(document: Document) -> dict[str, str]:
    """Read the words of the address that was asked for; of one given twice, the last."""
    context = document.session_context
    arguments = context.request.arguments if context is not None else {}
    return {key: values[-1].decode("utf-8", "replace") for key, values in arguments.items()}


def _select(
    title: str,
    options: Sequence[str | tuple[str, str]] | Mapping[str, Sequence[tuple[str, str]]],
    value: str,
) -> Select:
    """Make a list of choices: of names, of values and their names, or of these by group."""
    return Select(title=title, options=options, value=value, **_look())


def _text(text: str = "") -> Div:
    return Div(text=text, disable_math=True, **_look())


def _style() -> dict[str, object]:
    return {"stylesheets": [markup.INNER_STYLE], "margin": (0, 8, 8, 0)}


def _look() -> dict[str, object]:
    return {"sizing_mode": "stretch_width", **_style()}


def _row(*parts: LayoutDOM, **settings: str) -> Row:
    """Put parts side by side, and below each other where they do not fit."""
    return row(*parts, stylesheets=[":host { flex-wrap: wrap; }"], **settings)
