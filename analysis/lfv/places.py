"""Where worst blocks lie, and what uniform placement on the same grids would give."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.lfv.proof import Source
    from upscale_audit.analysis.marts import Marts


LEVEL = 0.95
"""Of the span that `find_span` finds."""


@dataclass(frozen=True)
class Places:
    """Worst blocks of some images, one key per grid and block.

    Attributes
    ----------
    counts : dict
        Images by (block_rows, block_cols, min_row, min_col).
    """

    counts: dict[tuple[int, int, int, int], int]

    @property
    def total(self) -> int:
        """Images in all."""
        return sum(self.counts.values())

    @property
    def grids(self) -> Counter[tuple[int, int]]:
        """Images by grid: (block_rows, block_cols) to count."""
        grids: Counter[tuple[int, int]] = Counter()
        for (rows, cols, _, _), count in self.counts.items():
            grids[rows, cols] += count
        return grids

    @property
    def grid(self) -> tuple[int, int]:
        """The most frequent grid, of equally frequent ones the largest."""
        return max(self.grids.items(), key=lambda item: (item[1], item[0]))[0]

    def count_places(self) -> npt.NDArray[np.int64]:
        """Count worst blocks on the most frequent grid.

        Returns
        -------
        (R, C) int64 array
            Places of another grid are stretched onto it, frame onto frame.
        """
        counts = np.zeros(self.grid, np.int64)
        for (rows, cols, row, col), count in self.counts.items():
            place = stretch(row, rows, self.grid[0]), stretch(col, cols, self.grid[1])
            counts[place] += count
        return counts

    def expect_lines(self, axis: int) -> npt.NDArray[np.float64]:
        """Expect, under uniform placement, the share of each row (axis 0) or column (axis 1).

        Returns
        -------
        (R,) or (C,) float64 array
            0..1, summing to 1: exact for the grids at hand, as stretched.
        """
        shares = np.zeros(self.grid[axis])
        for grid, count in self.grids.items():
            lines = grid[axis]
            for line in range(lines):
                shares[stretch(line, lines, self.grid[axis])] += count / lines
        return shares / self.total

    def count_rings(self, last: int) -> npt.NDArray[np.int64]:
        """Count worst blocks by their distance to the frame; `last` stands for farther, too."""
        counts = np.zeros(last + 1, np.int64)
        for (rows, cols, row, col), count in self.counts.items():
            distance = min(row, rows - 1 - row, col, cols - 1 - col)
            counts[min(distance, last)] += count
        return counts

    def expect_rings(self, last: int) -> npt.NDArray[np.float64]:
        """Expect, under uniform placement, the share of each ring, as `count_rings` counts them.

        Notes
        -----
        Of an R x C grid, (R - 2 d)(C - 2 d) blocks lie at distance d or farther (definitions
        D.3 for 128 x 128).
        """
        shares = np.zeros(last + 1)
        for (rows, cols), count in self.grids.items():
            depth = np.arange(last + 2)
            inside = np.maximum(rows - 2 * depth, 0) * np.maximum(cols - 2 * depth, 0)
            inside[-1] = 0
            shares += count * -np.diff(inside) / (rows * cols)
        return shares / self.total


def stretch(index: int, count: int, onto: int) -> int:
    """Map a line of `count` onto one of `onto`: first onto first, last onto last."""
    if count == 1:
        return 0
    return (2 * index * (onto - 1) + count - 1) // (2 * (count - 1))


def find_span(total: int, share: float) -> tuple[int, int]:
    """Find the central 95 % of a binomial count.

    Parameters
    ----------
    total : int
    share : float
        Probability, 0..1.

    Returns
    -------
    (int, int)
        Smallest counts at or below which at least 2.5 % and 97.5 % of the distribution lie.
    """
    if share <= 0 or share >= 1:
        return (0, 0) if share <= 0 else (total, total)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])
    successes = np.arange(total + 1)
    logs = (
        log_factorials[-1]
        - log_factorials
        - log_factorials[::-1]
        + successes * np.log(share)
        + (total - successes) * np.log1p(-share)
    )
    below = np.cumsum(np.exp(logs))
    ends = np.searchsorted(below, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = (int(min(end, total)) for end in ends)
    return low, high


def read_places(marts: Marts, source: Source, is_lfv: bool) -> Places:
    """Read where the worst blocks of a source lie.

    Parameters
    ----------
    marts : analysis.marts.Marts
    source : analysis.lfv.proof.Source
    is_lfv : bool
        LFV images alone, or every image with a known place.

    Returns
    -------
    Places
    """
    rows = marts.rows(
        "select block_rows, block_cols, min_row, min_col, count(*) as image_count"
        f" from mart_lfv_images where {source.where} and min_row is not null"
        f"{' and is_lfv' if is_lfv else ''}"
        " group by block_rows, block_cols, min_row, min_col"
        " order by block_rows, block_cols, min_row, min_col"
    )
    names = "block_rows", "block_cols", "min_row", "min_col"
    return Places({tuple(row[name] for name in names): row["image_count"] for row in rows})
