"""The five published quality classes, their colours, and how a map falls into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


NULL_COLOUR = (140, 140, 140)
HALLUCINATION = 4
DECIMALS = 6
"""A value's class is that of the number as published, with six decimals."""


@dataclass(frozen=True)
class QualityClass:
    """One of the five classes (definitions B.3).

    `lower_bound` belongs to the class; None: it holds everything below the others.
    `colour` is the published gradient's stop at that bound (at 0 for the last).
    """

    key: str
    lower_bound: float | None
    colour: str


CLASSES = (
    QualityClass("faithful", 0.95, "#0066FF"),
    QualityClass("good", 0.90, "#00DD00"),
    QualityClass("slight_loss", 0.80, "#FFDD00"),
    QualityClass("degraded", 0.70, "#FF6600"),
    QualityClass("hallucination", None, "#FF0000"),
)

_BOUNDS = [item.lower_bound for item in reversed(CLASSES) if item.lower_bound is not None]
STOPS = (0.0, *_BOUNDS, 1.0)
"""Of the gradient, worst first: 0, the four lower bounds, 1."""
PALETTES = {
    "published": (*(item.colour for item in reversed(CLASSES)), "#0066FF"),
    # Lightness rises with quality and no red meets a green: after cividis (Nunez et al.,
    # PLoS ONE 13 (2018) e0199239, doi:10.1371/journal.pone.0199239).
    "safe": ("#00204C", "#2F436D", "#62656F", "#9B9377", "#D4C164", "#FFEA46"),
}


def classify(local_ssim: float | npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Put local SSIM into the five classes.

    Parameters
    ----------
    local_ssim : array of float64
        Any shape, dimensionless, -1..1; NaN: not measured.

    Returns
    -------
    int8 array of the same shape
        Index into `CLASSES`; -1 where not measured.

    Notes
    -----
    Lower bounds are closed [OWN]. Values are rounded to six decimals first, so that the
    class follows from the published file.
    """
    rounded = np.round(np.asarray(local_ssim, np.float64), DECIMALS)
    index = np.full(rounded.shape, HALLUCINATION, np.int8)
    for number in reversed(range(HALLUCINATION)):
        index[rounded >= (CLASSES[number].lower_bound or 0.0)] = number
    index[np.isnan(rounded)] = -1
    return index


def count_classes(local_ssim: npt.NDArray[np.float64]) -> tuple[int, ...]:
    """Count the measured patches of each class, in the order of `CLASSES`."""
    index = classify(local_ssim)
    return tuple(int((index == number).sum()) for number in range(len(CLASSES)))


def paint(local_ssim: npt.NDArray[np.float64], palette: str = "published") -> npt.NDArray[np.uint8]:
    """Paint local SSIM with the published gradient.

    Parameters
    ----------
    local_ssim : array of float64
        Any shape; values below 0 get the colour of 0, NaN gets grey.
    palette : {"published", "safe"}

    Returns
    -------
    uint8 array
        The shape of `local_ssim` with 3 added, sRGB.

    Notes
    -----
    The gradient is continuous between the stops, straight in sRGB, its axis fixed to 0..1
    (definitions B.3): a colour says the class only approximately.
    """
    values = np.asarray(local_ssim, np.float64)
    channels = np.array([_parse_hex(colour) for colour in PALETTES[palette]]).T
    filled = np.where(np.isnan(values), 0.0, values).clip(0, 1)
    painted = np.stack([np.interp(filled, STOPS, channel) for channel in channels], axis=-1)
    painted[np.isnan(values)] = NULL_COLOUR
    found: npt.NDArray[np.uint8] = np.rint(painted).astype(np.uint8)
    return found


def trace_outline(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Trace the border between patches that are marked and those that are not.

    Parameters
    ----------
    mask : (R, C) bool array

    Returns
    -------
    list of (row, col, row, col)
        Straight segments in patches, horizontal ones first, each as long as it can be.
    """
    framed = np.pad(mask, 1)
    segments = []
    for row in range(1, framed.shape[0]):
        for start, stop in _find_runs(framed[row - 1] != framed[row]):
            segments.append((row - 1, start - 1, row - 1, stop - 1))
    for col in range(1, framed.shape[1]):
        for start, stop in _find_runs(framed[:, col - 1] != framed[:, col]):
            segments.append((start - 1, col - 1, stop - 1, col - 1))
    return segments


def _find_runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _parse_hex(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue
