"""What all pages of an explorer share: the warehouse, and what it says of itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlencode

import numpy as np

from upscale_audit.analysis.explore.answers import Desk
from upscale_audit.analysis.explore.outlines import read_outlines
from upscale_audit.analysis.explore.pixels import read_boxes, read_film
from upscale_audit.analysis.explore.quantities import read_quantities
from upscale_audit.analysis.explore.views import (
    NUMBERED_BLOCKS,
    View,
    find_limit,
    find_place,
    mark_brushed,
    order_ends,
    read_starts,
    read_values,
)
from upscale_audit.analysis.marts import Marts, quote_text
from upscale_audit.analysis.theme import count_noun
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.study import INFERENCE_PATHS

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.explore.outlines import Line, NamedPlace
    from upscale_audit.analysis.explore.pixels import Film
    from upscale_audit.analysis.explore.quantities import Quantity
    from upscale_audit.ingest.study import Study


KEPT_PLACES, KEPT_COLUMNS = 4096, 64
"""Images under a model whose place is kept; columns of one that stay in memory, 130 kB each at
1024 x 1024 px."""


T = TypeVar("T")
_OTHERS = "The others are clear, whatever they are: that says nothing of them."


class Explorer:
    """A published warehouse, ready to be looked at.

    Parameters
    ----------
    study : ingest.study.Study
        Built.

    Attributes
    ----------
    study : ingest.study.Study
    quantities : dict of str to Quantity
    models : dict of str to tuple of str
        Inference paths, by model.
    images : dict of str to (int, int)
        Rows and columns of blocks, by image.
    tables : dict of str to str
        Description, by table.
    desk : Desk
        For queries that readers type.

    Raises
    ------
    StudyError
        There is no warehouse, it is of another version, or no image was measured.
    """

    def __init__(self, study: Study) -> None:
        self.study, self._marts = study, Marts(study.warehouse)
        try:
            self._read()
            self.desk = Desk(study.warehouse)
        except BaseException:
            self._marts.close()
            raise
        # Of this object, not of its class: what they keep goes with it.
        self._find_place = lru_cache(KEPT_PLACES)(self._find_place)  # type: ignore[method-assign]  # this object's own
        self._read_column = lru_cache(KEPT_COLUMNS)(self._read_column)  # type: ignore[method-assign]  # ditto

    def _read(self) -> None:
        marts = self._marts
        self.quantities = read_quantities(marts)
        self.models = {
            row["model_id"]: INFERENCE_PATHS if row["has_tta"] else INFERENCE_PATHS[:1]
            for row in marts.rows("select model_id, has_tta from dim_models order by model_number")
        }
        self.labels = marts.name_models(self.models)
        self.images = {
            row["image_id"]: (row["block_rows"], row["block_cols"])
            for row in marts.rows(
                "select image_id, block_rows, block_cols from dim_images order by image_id"
            )
        }
        self._starts = read_starts(marts)
        self.tables = {
            row["table_name"]: row["description"]
            for row in marts.rows("select table_name, description from dim_tables order by 1")
        }
        if not (self.models and self.images and self.quantities):
            raise StudyError(
                f"no image was measured in {self.study.warehouse}: there is nothing to look at;"
                " name references and models in the study file, and run upscale-audit run"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.desk.close()
        self._marts.close()

    def read_columns(self, table: str) -> list[dict[str, Any]]:
        """Read name, type and description of a table's columns, one dictionary each."""
        return self._marts.rows(
            "select column_name, data_type, comment from duckdb_columns()"
            f" where table_name = {quote_text(table)} and schema_name = 'main'"
            " and database_name = current_database() order by column_index"
        )

    def read_boxes(self, image_id: str) -> list[dict[str, Any]]:
        """Read the marks of an image: `analysis.explore.pixels.read_boxes`."""
        return read_boxes(self._marts, image_id)

    def read_outlines(self, image_id: str) -> tuple[list[Line], list[NamedPlace]]:
        """Read edges and names of its regions: `analysis.explore.outlines.read_outlines`."""
        return read_outlines(self._marts, image_id)

    def read_films(self, view: View) -> tuple[Film, Film]:
        """Read reference and restored image of a view."""
        reference = read_film(self._marts, self.study, view.image_id)
        restored = read_film(
            self._marts, self.study, view.image_id, view.model_id, view.inference_path
        )
        return reference, restored

    def _find_place(self, model_id: str, image_id: str) -> str:
        rows, cols = self.images[image_id]
        first_row = self._starts.get((model_id, image_id))
        return find_place(self._marts, model_id, image_id, first_row, rows * cols)

    def _read_column(self, model_id: str, image_id: str, column: str) -> npt.NDArray[np.float64]:
        place = self._find_place(model_id, image_id)
        return read_values(self._marts, place, self.images[image_id], column)

    def read_values(self, view: View, quantity: Quantity) -> npt.NDArray[np.float64]:
        """Lay out a quantity of the view's blocks, (R, C) float64 array."""
        column = quantity.column(view.inference_path)
        return self._read_column(view.model_id, view.image_id, column)

    def read_block(self, view: View, block: tuple[int, int]) -> dict[str, Any] | None:
        """Read one block, a dictionary of all columns; None where there is none."""
        place = self._find_place(view.model_id, view.image_id)
        rows = self._marts.rows(
            f"select * exclude (block_number) from {NUMBERED_BLOCKS} where {place}"
            f" and block_row = {block[0]} and block_col = {block[1]}"
        )
        return rows[0] if rows else None

    def read_seen(self, view: View) -> npt.NDArray[np.float64]:
        """Lay out what the map shows: the values of the brushed blocks, NaN elsewhere."""
        values = self.read_values(view, view.quantity)
        if not view.has_brush:
            return values
        brushed = mark_brushed(self.read_values(view, view.brushed), view)
        return np.where(brushed, values, np.nan)

    def describe_seen(self, view: View) -> str:
        """Say how many blocks a view shows, and by what they were chosen."""
        values = self.read_values(view, view.brushed if view.has_brush else view.quantity)
        seen = int(mark_brushed(values, view).sum())
        count = f"{seen:,} of {count_noun(values.size, 'block')}"
        others = "" if seen == values.size else f" {_OTHERS}"
        if not view.has_brush:
            return f"{count} have a value.{others}"
        ends = f"{view.low:g} to {view.high:g}".replace("-", "\u2212")
        unit = f" {view.brushed.unit}" if view.brushed.unit else ""
        return f"{count}: those whose {view.brushed.label} is {ends}{unit}.{others}"

    def make_view(self, words: Mapping[str, str]) -> View:
        """Make a view of words that an address holds; what is unknown or left out is chosen.

        Parameters
        ----------
        words : dict of str to str
            model, path, image, show, by, low, high.

        Returns
        -------
        View
        """
        model = _choose(words.get("model"), self.models)
        low, high = order_ends(*(_read_number(words.get(name)) for name in ("low", "high")))
        by = {stem: own for stem, own in self.quantities.items() if not own.is_flag}
        return View(
            model,
            _choose(words.get("path"), self.models[model]),
            _choose(words.get("image"), self.images),
            self.quantities[_choose(words.get("show"), self.quantities)],
            by[_choose(words.get("by"), by)],
            low,
            high,
        )

    def name_seen(self, view: View) -> str:
        """Name the image that is seen and its model, as a heading does."""
        return f"{view.image_id} under {self.labels[view.model_id]}"

    def find_limit(self, view: View) -> float:
        """Find where the colours of a view are full; see `views.find_limit`."""
        return find_limit(self.read_values(view, view.quantity), view.quantity)


def spell_address(view: View, **more: str) -> str:
    """Spell what `Explorer.make_view` reads, for an address."""
    words = {
        "model": view.model_id,
        "path": view.inference_path,
        "image": view.image_id,
        "show": view.quantity.stem,
        "by": view.brushed.stem,
    }
    if view.has_brush:
        words |= {"low": f"{view.low:.6f}", "high": f"{view.high:.6f}"}
    return urlencode(words | more)


def read_share(text: str | None, default: T) -> float | T:
    """Read a number above 0 from an address; where it holds none, the default."""
    number = _read_number(text)
    return number if number is not None and number > 0 else default


def _choose(word: str | None, known: Collection[str]) -> str:
    return word if word is not None and word in known else next(iter(known))


def _read_number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
