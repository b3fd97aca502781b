"""Where regions of an image end: lines between blocks of different ones, and places for names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.marts import Marts


BLOCK_PX = 8
Line = tuple[int, int, int, int]
"""x1, y1, x2, y2."""
NamedPlace = tuple[str, float, float]
"""Name, x, y."""


def read_outlines(marts: Marts, image_id: str) -> tuple[list[Line], list[NamedPlace]]:
    """Read the regions of an image as what is drawn of them.

    Parameters
    ----------
    marts : analysis.marts.Marts
    image_id : str

    Returns
    -------
    lines : list of tuple
        x1, y1, x2, y2 in pixels of the reference, along sides of blocks; none where all of the
        image is of one region.
    names : list of tuple
        Name, x, y: a block of the region near its middle; none without a line.
    """
    rows = marts.frame(
        "select region, block_row, block_col from dim_blocks"
        f" where image_id = {quote_text(image_id)} order by block_row, block_col"
    )
    if rows.is_empty():
        return [], []
    regions = rows["region"].fill_null("").to_list()
    known = sorted(set(regions) - {""})
    codes = np.array([known.index(name) + 1 if name else 0 for name in regions])
    grid = codes.reshape(-1, rows["block_col"].max() + 1)
    lines = find_edges(grid)
    places = find_middles(grid) if lines else {}
    names = [
        (known[code - 1], BLOCK_PX * (col + 0.5), BLOCK_PX * (row + 0.5))
        for code, (row, col) in places.items()
        if code
    ]
    px = BLOCK_PX
    return [(px * x1, px * y1, px * x2, px * y2) for x1, y1, x2, y2 in lines], names


def find_edges(grid: npt.NDArray[np.integer]) -> list[Line]:
    """Find the straight lines between cells of different values.

    Parameters
    ----------
    grid : (R, C) int array

    Returns
    -------
    list of tuple of int
        x1, y1, x2, y2 in cells: each as long as it goes, down first, then across.
    """
    down = [
        (col + 1, first, col + 1, last)
        for col, beside in enumerate((grid[:, 1:] != grid[:, :-1]).T)
        for first, last in _find_runs(beside)
    ]
    across = [
        (first, row + 1, last, row + 1)
        for row, below in enumerate(grid[1:] != grid[:-1])
        for first, last in _find_runs(below)
    ]
    return down + across


def find_middles(grid: npt.NDArray[np.integer]) -> dict[int, tuple[int, int]]:
    """Find for each value the cell of it that is nearest to the mean place of its cells.

    Parameters
    ----------
    grid : (R, C) int array

    Returns
    -------
    dict
        Row and column by value.
    """
    middles = {}
    for value in np.unique(grid):
        places = np.argwhere(grid == value)
        distances = ((places - places.mean(axis=0)) ** 2).sum(axis=1)
        row, col = places[distances.argmin()]
        middles[int(value)] = int(row), int(col)
    return middles


def _find_runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Begin and end of each run of true flags."""
    steps = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    begins, ends = (np.flatnonzero(steps == step).tolist() for step in (1, -1))
    return list(zip(begins, ends, strict=True))
