"""Colours of a map that lies over a film: clear where nothing was done, full at a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.analysis import theme

if TYPE_CHECKING:
    import numpy.typing as npt


COLOUR_COUNT = 255
_AMOUNT, _DISSIMILARITY = (213, 94, 0), (136, 46, 140)
MEANINGS = {
    "signed": "Red is above 0, blue below; clear is 0, a block restored exactly.",
    "similarity": "Purple is below 1; clear is 1, a block restored exactly.",
    "amount": "Orange is above 0; clear is 0.",
}
"""What the colours of a scale say."""


def make_colours(scale: str) -> npt.NDArray[np.uint8]:
    """Make the colours of a scale, from its low end to its high end.

    Parameters
    ----------
    scale : {"signed", "similarity", "amount"}

    Returns
    -------
    (N, 4) uint8 array
        sRGB and how much of the film they hide, 0..255: a value's distance from that of a block
        restored exactly.
    """
    ends = np.linspace(-1, 1, COLOUR_COUNT)
    if scale == "signed":
        blue, red = theme.diverging_colours(np.array([-1.0, 1.0]))
        rgb, hides = np.where((ends > 0)[:, None], red, blue), np.abs(ends)
    elif scale == "similarity":
        rgb, hides = np.full((COLOUR_COUNT, 3), _DISSIMILARITY), (1 - ends) / 2
    else:
        rgb, hides = np.full((COLOUR_COUNT, 3), _AMOUNT), (1 + ends) / 2
    return np.column_stack([rgb, np.rint(255 * hides)]).astype(np.uint8)


def find_range(scale: str, limit: float) -> tuple[float, float]:
    """Values of the first and the last colour; `limit` is where a colour is full."""
    ranges = {"signed": (-limit, limit), "similarity": (1 - limit, 1.0), "amount": (0.0, limit)}
    return ranges[scale]


def paint(
    values: npt.NDArray[np.float64],
    ground: npt.NDArray[np.uint8],
    scale: str,
    limit: float,
    opacity: float = 1.0,
) -> npt.NDArray[np.uint8]:
    """Paint values over a picture.

    Parameters
    ----------
    values : (R, C) float64 array
        NaN hides nothing.
    ground : (R, C, 3) uint8 array
        sRGB.
    scale : {"signed", "similarity", "amount"}
    limit : float
    opacity : float
        0..1, of a full colour.

    Returns
    -------
    (R, C, 3) uint8 array
    """
    low, high = find_range(scale, limit)
    shares = np.clip((values - low) / (high - low), 0, 1)
    known = np.isfinite(values)
    colours = make_colours(scale)[
        np.rint((COLOUR_COUNT - 1) * np.where(known, shares, 0)).astype(int)
    ]
    hides = np.where(known, opacity * colours[..., 3] / 255, 0)[..., None]
    found: npt.NDArray[np.uint8] = np.rint(colours[..., :3] * hides + ground * (1 - hides)).astype(
        np.uint8
    )
    return found
