"""Where something may be drawn: places far apart, inside, of no finding, with room for contrast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from upscale_audit.restore.phantom.design import draw

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


CELL_PX, JITTER_PX = 96, 8
"""Sites lie in cells of this side, up to so much off their place: 88 px apart or more."""
MARGIN_PX = 40
REACH_PX = 36
"""Whatever is drawn lies within this of its site, in rows and columns."""
ANGLES = 16


@dataclass(frozen=True)
class Site:
    """A place in an image.

    Attributes
    ----------
    row_px, col_px : int
        Its middle.
    angle : int
        Of what has a direction, in sixteenths of a half turn.
    """

    row_px: int
    col_px: int
    angle: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The slices of an image around it, within which all that is drawn lies."""
        rows, cols = (
            slice(middle - REACH_PX, middle + REACH_PX) for middle in (self.row_px, self.col_px)
        )
        return rows, cols


def find_sites(
    grey: npt.NDArray[np.uint8],
    image_id: str,
    count: int,
    seed: str,
    headroom_dn: int,
    boxes: Sequence[tuple[int, ...]] = (),
) -> list[Site]:
    """Find places to draw at.

    Parameters
    ----------
    grey : (M, N) uint8 array
        The reference.
    image_id, seed : str
        Enter the hash that draws the places, with each cell's number.
    count : int
        How many at most.
    headroom_dn : int
        The largest contrast.
    boxes : iterable of (left, top, width, height)
        Labelled findings, in px, which nothing may touch.

    Returns
    -------
    list of Site
        Fewer where there is no room for more.

    Notes
    -----
    A cell is passed over where a box reaches into its window, and where that holds a grey value of
    0 (a border, or cut) or one that the largest contrast would cut: what is drawn is then the same
    in every image. No model has a part in it: another model moves no site.
    """
    sites = []
    rows, cols = ((side - 2 * MARGIN_PX) // CELL_PX for side in grey.shape)
    for number in range(max(rows, 0) * max(cols, 0)):
        row, col = divmod(number, cols)
        place = draw(seed, "site", image_id, number)
        site = Site(
            MARGIN_PX + row * CELL_PX + place % (JITTER_PX + 1) + (CELL_PX - JITTER_PX) // 2,
            MARGIN_PX + col * CELL_PX + place // 16 % (JITTER_PX + 1) + (CELL_PX - JITTER_PX) // 2,
            place // 256 % ANGLES,
        )
        if _is_free(grey[site.window], site, headroom_dn, boxes):
            sites.append((draw(seed, "order", image_id, number), site))
    return [site for _, site in sorted(sites, key=lambda item: item[0])[:count]]


def _is_free(
    values: npt.NDArray[np.uint8], site: Site, headroom_dn: int, boxes: Sequence[tuple[int, ...]]
) -> bool:
    if values.min() == 0 or values.max() > 255 - headroom_dn:
        return False
    return not any(
        left < site.col_px + REACH_PX
        and left + width > site.col_px - REACH_PX
        and top < site.row_px + REACH_PX
        and top + height > site.row_px - REACH_PX
        for left, top, width, height in boxes
    )
