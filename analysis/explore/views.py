"""What is looked at: one image under one model, which of its blocks, and the query for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.analysis.explore.quantities import Quantity
from upscale_audit.analysis.marts import quote_name, quote_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.marts import Marts


DIGITS = 6
"""Decimals of the fixed-point columns of `fct_blocks`; ends of a brush are rounded to them."""

NUMBERED_BLOCKS = "intermediate.int_blocks_completed"
"""`fct_blocks` with the number of each row, by which an image's blocks are found at once."""
BIN_COUNT = 60
_LIMIT_QUANTILE = 0.99


@dataclass(frozen=True)
class View:
    """One image under one model, and what of its blocks is shown.

    Attributes
    ----------
    model_id, inference_path, image_id : str
    quantity : Quantity
        What the map shows.
    brushed : Quantity
        By what blocks are chosen.
    low, high : float or None
        Ends of the brush, both within it; None where nothing is brushed.
    """

    model_id: str
    inference_path: str
    image_id: str
    quantity: Quantity
    brushed: Quantity
    low: float | None = None
    high: float | None = None

    @property
    def has_brush(self) -> bool:
        """Whether blocks are chosen by a range."""
        return self.low is not None and self.high is not None


def spell_query(view: View) -> str:
    """Spell the query that gives the blocks that are seen, and what is seen of them.

    Parameters
    ----------
    view : View

    Returns
    -------
    str
        SQL for the published warehouse, without a semicolon.
    """
    path = view.inference_path
    shown = dict.fromkeys([view.quantity.column(path), view.brushed.column(path)])
    names = ["block_row", "block_col", *map(quote_plainly, shown)]
    lines = [f"select {', '.join(names)}", "from fct_blocks", _spell_place(view)]
    if view.has_brush:
        ends = [f"{end:.{DIGITS}f}" for end in (view.low, view.high)]
        lines.append(
            f"    and {quote_plainly(view.brushed.column(path))} between {' and '.join(ends)}"
        )
    return "\n".join([*lines, "order by block_row, block_col"])


def spell_block_query(view: View, block: tuple[int, int]) -> str:
    """Spell the query that gives one block: all columns."""
    row, col = block
    return "\n".join(
        [
            "select *",
            "from fct_blocks",
            _spell_place(view),
            f"    and block_row = {row}",
            f"    and block_col = {col}",
        ]
    )


def _spell_place(view: View) -> str:
    return "where " + spell_names(view.model_id, view.image_id)


def spell_names(model_id: str, image_id: str) -> str:
    """Spell the condition for an image's blocks under a model."""
    return f"model_id = {quote_text(model_id)}\n    and image_id = {quote_text(image_id)}"


def quote_plainly(name: str) -> str:
    """Quote an SQL name where it needs it."""
    return name if name.isidentifier() and name.isascii() else quote_name(name)


def read_starts(marts: Marts) -> dict[tuple[str, str], int]:
    """Read at which stored row each image's blocks under each model begin.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    dict of (str, str) to int
        Row by model and image.

    Notes
    -----
    Once for a whole table: two columns of small integers. Zone maps find an image by its name too,
    but keep only the beginnings of names, which may be all the same.
    """
    rows = marts.rows(
        f"select model_id, image_id, block_number as first_row from {NUMBERED_BLOCKS}"
        " where block_row = 0 and block_col = 0"
    )
    return {(row["model_id"], row["image_id"]): row["first_row"] for row in rows}


def find_place(
    marts: Marts, model_id: str, image_id: str, first_row: int | None, count: int
) -> str:
    """Find where an image's blocks under a model lie, as a condition.

    Parameters
    ----------
    marts : analysis.marts.Marts
    model_id, image_id : str
    first_row : int or None
        Of `read_starts`.
    count : int
        Blocks that the image has.

    Returns
    -------
    str
        Model, image and, where the blocks lie together as a build lays them, their rows: whoever
        knows these reads the few row groups that hold them, whatever the table's size.
    """
    names = spell_names(model_id, image_id)
    if first_row is None:
        return names
    place = f"{names} and block_number between {first_row} and {first_row + count - 1}"
    (found,) = marts.rows(f"select count(*) as rows from {NUMBERED_BLOCKS} where {place}")
    return place if found["rows"] == count else names


def read_values(
    marts: Marts, place: str, shape: tuple[int, int], column: str
) -> npt.NDArray[np.float64]:
    """Read one column of an image's blocks under a model, laid out as the blocks lie.

    Parameters
    ----------
    marts : analysis.marts.Marts
    place : str
        Condition on model, image and rows.
    shape : (int, int)
        Rows and columns of blocks.
    column : str

    Returns
    -------
    (R, C) float64 array
        In the column's unit, flags as 0 and 1; NaN where NULL or where no block is. Not to be
        written to.
    """
    blocks = marts.frame(
        f"select block_row, block_col, cast({quote_name(column)} as double) as value"
        f" from {NUMBERED_BLOCKS} where {place}"
    )
    values = np.full(shape, np.nan)
    values[blocks["block_row"].to_numpy(), blocks["block_col"].to_numpy()] = blocks[
        "value"
    ].to_numpy()
    values.flags.writeable = False
    return values


def mark_brushed(values: npt.NDArray[np.float64], view: View) -> npt.NDArray[np.bool_]:
    """Mark the blocks that the brush holds, (R, C) bool array; all with a value without one."""
    if view.low is None or view.high is None:
        return np.isfinite(values)
    return (values >= view.low) & (values <= view.high)


def order_ends(low: float | None, high: float | None) -> tuple[float, float] | tuple[None, None]:
    """Round the ends of a brush to the columns' decimals, the lower first; None is none."""
    if low is None or high is None:
        return None, None
    least, most = sorted((round(float(low), DIGITS), round(float(high), DIGITS)))
    return least, most


def find_limit(values: npt.NDArray[np.float64], quantity: Quantity) -> float:
    """Find where a colour is full: what 99 of 100 blocks stay within, in two digits.

    Parameters
    ----------
    values : (R, C) float64 array
    quantity : Quantity

    Returns
    -------
    float
        Above 0: the absolute value, or for a similarity the distance from 1.
    """
    known = values[np.isfinite(values)]
    if quantity.is_flag or known.size == 0:
        return 1.0
    distances = measure_distances(known, quantity)
    return max(float(f"{np.quantile(distances, _LIMIT_QUANTILE):.1e}"), 10.0**-DIGITS)


def measure_distances(
    values: npt.NDArray[np.float64], quantity: Quantity
) -> npt.NDArray[np.float64]:
    """Measure how far values are from that of a block restored exactly; at least 0."""
    return np.abs(1 - values if quantity.scale == "similarity" else values)


def find_farthest(values: npt.NDArray[np.float64], quantity: Quantity) -> tuple[int, int]:
    """Find the block that is farthest from one restored exactly: the first of equals.

    Parameters
    ----------
    values : (R, C) float64 array
    quantity : Quantity

    Returns
    -------
    (int, int)
        Row and column; the first block where none has a value.
    """
    distances = np.nan_to_num(measure_distances(values, quantity), nan=-1.0)
    row, col = np.unravel_index(np.argmax(distances), distances.shape)
    return int(row), int(col)


def count_bins(
    values: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Count values in bins of one width.

    Parameters
    ----------
    values : (R, C) float64 array

    Returns
    -------
    counts : (B,) int64 array
    edges : (B + 1,) float64 array
        Both of one bin without blocks where nothing is known.
    """
    known = values[np.isfinite(values)]
    if known.size == 0:
        return np.zeros(1, np.int64), np.array([0.0, 1.0])
    low, high = known.min(), known.max()
    return np.histogram(known, BIN_COUNT, (low, high if high > low else low + 10.0**-DIGITS))
