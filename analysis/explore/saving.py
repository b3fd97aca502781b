"""What is seen, as files: figure, CSV, and the query that made it."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from upscale_audit.analysis.explore.answers import MOST_SAVED_ROWS
from upscale_audit.analysis.explore.explorer import read_share
from upscale_audit.analysis.explore.figure import draw_figure, to_png
from upscale_audit.analysis.explore.views import spell_query
from upscale_audit.ingest.errors import StudyError

if TYPE_CHECKING:
    from upscale_audit.analysis.explore.answers import Question
    from upscale_audit.analysis.explore.explorer import Explorer
    from upscale_audit.analysis.explore.views import View


DEFAULT_OPACITY = 0.8
_FORMULA = re.compile(r"'*[=+@\t\r-]")
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "sql": "text/plain; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
}


class Saved(RequestHandler):
    """Give a file of what an address describes: blocks.csv, blocks.sql, figure.png, answer.csv."""

    def initialize(self, explorer: Explorer) -> None:
        """Take what all pages share."""
        self._explorer = explorer
        self._question: Question | None = None

    async def get(self, name: str) -> None:
        """Write the file."""
        words = {key: self.get_query_argument(key) for key in self.request.query_arguments}
        kind = name.rpartition(".")[2]
        if kind not in _TYPES:
            raise HTTPError(404)
        self.set_header("Content-Type", _TYPES[kind])
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        if name == "answer.csv":
            await self._write_rows(words.get("sql", ""))
            return
        view = self._explorer.make_view(words)
        if name == "blocks.csv":
            await self._write_rows(spell_query(view))
        elif name == "blocks.sql":
            self.finish(spell_query(view) + ";\n")
        elif name in ("figure.png", "figure.svg"):
            self.finish(await self._draw(view, words, kind))
        else:
            raise HTTPError(404)

    def on_connection_close(self) -> None:
        """End the query of whoever has gone."""
        if self._question is not None:
            self._question.stop()

    async def _draw(self, view: View, words: Mapping[str, str], kind: str) -> str | bytes:
        """Draw the figure, without holding up whoever else looks."""
        explorer = self._explorer
        # Read here: the warehouse's connection is of this thread.
        seen = (
            explorer.name_seen(view),
            view,
            explorer.read_films(view),
            explorer.read_seen(view),
            explorer.read_boxes(view.image_id),
            explorer.read_outlines(view.image_id),
            read_share(words.get("full"), None) or explorer.find_limit(view),
            min(1.0, read_share(words.get("opacity"), DEFAULT_OPACITY)),
            explorer.describe_seen(view),
        )
        svg = await asyncio.to_thread(draw_figure, *seen)
        return await asyncio.to_thread(to_png, svg) if kind == "png" else svg

    async def _write_rows(self, sql: str) -> None:
        """Write the rows of a query, without holding up whoever else looks."""
        try:
            question = self._question = self._explorer.desk.ask(sql)
            # One more tells whether there are more.
            batches = question.read_batches(most_rows=MOST_SAVED_ROWS + 1)
            count = 0
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                columns, rows = batch
                kept = rows[: MOST_SAVED_ROWS - count]
                self.write(_spell_csv([*([columns] if count == 0 else []), *kept]))
                count += len(rows)
                await self.flush()
            if count > MOST_SAVED_ROWS:
                self.write(_spell_csv([[f"only the first {MOST_SAVED_ROWS:,} rows"]]))
        except StudyError as error:
            if self._headers_written:
                raise
            self.clear()
            self.set_status(400)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.write(f"{error}\n")
        except StreamClosedError:
            self.on_connection_close()


def _spell_csv(rows: Iterable[Sequence[object]]) -> str:
    """Spell rows so that no text of them runs as a formula in a spreadsheet: docs/trust.md."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_quieten, row) for row in rows)
    return text.getvalue()


def _quieten(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell
