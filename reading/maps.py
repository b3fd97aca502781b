"""What a class activation map says: which pixels it lights, boxes round them, agreement of two.

As Wang X. et al. (ChestX-ray8, CVPR 2017, section 4.2): a map is brought to 0..255, and each
isolated area of what lies above 60, and above 180, gets a box.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.reading.preparing import Square


LEVELS = (60, 180)
"""Of 255: the paper's two."""


@dataclass(frozen=True)
class Frame:
    """Where the square that was read lies in the reference.

    Attributes
    ----------
    row_px, col_px : float
        Its upper left corner.
    side_px : float
    """

    row_px: float
    col_px: float
    side_px: float


def place_square(square: Square, unit_px: float) -> Frame:
    """Place the square of an image in its reference.

    Parameters
    ----------
    square : reading.preparing.Square
    unit_px : float
        Pixels of the reference in a pixel of the image: the scale of an LR image, else 1.
    """
    return Frame(square.row * unit_px, square.col * unit_px, square.side_px * unit_px)


def scale_map(activations: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """Bring a map to 0..255 by its own least and greatest value.

    Parameters
    ----------
    activations : (h, w) float32 array

    Returns
    -------
    (h, w) float32 array or None
        None where all values are equal: nothing stands out.
    """
    low, high = float(activations.min()), float(activations.max())
    if not low < high:
        return None
    scaled = (activations.astype(np.float64) - low) * (255 / (high - low))
    return scaled.astype(np.float32)


def light_pixels(
    activations: npt.NDArray[np.float32], side_px: int
) -> dict[int, npt.NDArray[np.bool_]]:
    """Find the pixels that a map lights.

    Parameters
    ----------
    activations : (h, w) float32 array
    side_px : int
        Of the square that was read; the map is brought to 0..255, then enlarged to it bilinearly.

    Returns
    -------
    dict
        By level, (side_px, side_px) bool array: above it. A map that is the same everywhere lights
        none.
    """
    scaled = scale_map(activations)
    if scaled is None:
        return {level: np.zeros((side_px, side_px), np.bool_) for level in LEVELS}
    enlarged = cv2.resize(scaled, (side_px, side_px), interpolation=cv2.INTER_LINEAR)
    return {level: np.asarray(enlarged > level) for level in LEVELS}


def find_boxes(lit: npt.NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Find the box of each isolated area.

    Parameters
    ----------
    lit : (M, N) bool array

    Returns
    -------
    list of (left, top, width, height)
        In pixels; areas that touch at a corner are one. From the top, then from the left.

    Notes
    -----
    By the outer border of each area, also of one in another's hole: a fifteenth of the time that
    labelling every pixel takes, for the same boxes.
    """
    borders, hierarchy = cv2.findContours(
        lit.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    parents = np.asarray([] if hierarchy is None else hierarchy, int).reshape(-1, 4)[:, 3]
    boxes = []
    for border, parent in zip(borders, parents, strict=True):
        if parent < 0:  # else the border of a hole
            left, top, width, height = map(int, cv2.boundingRect(border))
            boxes.append((left, top, width, height))
    return sorted(boxes, key=lambda box: (box[1], box[0], box[2], box[3]))


def list_boxes(
    lit: Mapping[int, npt.NDArray[np.bool_]], frame: Frame
) -> list[tuple[int, int, float, float, float, float]]:
    """List the boxes of a map at each level, in pixels of the reference.

    Parameters
    ----------
    lit : dict
        As `light_pixels` gives it.
    frame : Frame
        Where its square lies.

    Returns
    -------
    list of tuple
        Columns of `reading_boxes` from `map_level` on: level, number, left, top, width, height.
    """
    boxes = []
    for level, pixels in lit.items():
        unit = frame.side_px / len(pixels)
        for number, (left, top, width, height) in enumerate(find_boxes(pixels)):
            place = frame.col_px + left * unit, frame.row_px + top * unit
            boxes.append((level, number, *place, width * unit, height * unit))
    return boxes


def compare_maps(
    activations: npt.NDArray[np.float32],
    reference: npt.NDArray[np.float32],
    lit: Mapping[int, npt.NDArray[np.bool_]],
    reference_lit: Mapping[int, npt.NDArray[np.bool_]],
) -> dict[str, float | None]:
    """Compare a map with the reference's.

    Parameters
    ----------
    activations, reference : (h, w) float32 array
    lit, reference_lit : dict
        As `light_pixels` gives them, on squares of one size.

    Returns
    -------
    dict
        ``map_correlation``: Pearson's r of the maps as the network gives them, None where one of
        them is the same everywhere. ``overlap_60`` and ``overlap_180``: pixels that both light over
        pixels that any lights; None where none does.
    """
    return {"map_correlation": correlate(activations, reference)} | {
        f"overlap_{level}": measure_overlap(lit[level], reference_lit[level]) for level in LEVELS
    }


def correlate(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float | None:
    """Pearson's r of two maps of one shape; None where one is the same everywhere."""
    left, right = (item.astype(np.float64).ravel() for item in (first, second))
    left, right = left - left.mean(), right - right.mean()
    power = float(np.sqrt((left**2).sum() * (right**2).sum()))
    if first.min() == first.max() or second.min() == second.max() or power == 0:
        return None
    return float(np.clip((left * right).sum() / power, -1, 1))


def measure_overlap(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float | None:
    """Pixels in both over pixels in any; None where there are none."""
    union = int(np.count_nonzero(first | second))
    return int(np.count_nonzero(first & second)) / union if union else None
