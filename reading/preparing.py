"""What a reader is given: the middle square of an image, resized by one rule, in scaled planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.readers import Intensity


@dataclass(frozen=True)
class Square:
    """The part of an image that is read: `side_px` rows and columns from `row` and `col` on."""

    row: int
    col: int
    side_px: int


def find_square(shape: tuple[int, ...]) -> Square:
    """Find the middle square of an image of so many rows and columns.

    Parameters
    ----------
    shape : (int, int)

    Returns
    -------
    Square
        As long as the shorter side. It begins at ``n // 2 - side // 2``, as torchxrayvision's
        ``XRayCenterCrop`` does.
    """
    rows, cols = shape
    side = min(rows, cols)
    return Square(rows // 2 - side // 2, cols // 2 - side // 2, side)


def prepare_image(grey: npt.NDArray[np.uint8], input_px: int) -> npt.NDArray[np.float32]:
    """Make what a reader is given of an image: any image, by one rule.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn
    input_px : int

    Returns
    -------
    (input_px, input_px) float32 array, dn
        The middle square, brought to the size by area where it shrinks (OpenCV's ``INTER_AREA``:
        each pixel is the mean of what it covers) and bilinearly where it grows; 0..255, not
        rounded.
    """
    square = find_square(grey.shape)
    rows = slice(square.row, square.row + square.side_px)
    cols = slice(square.col, square.col + square.side_px)
    part = np.ascontiguousarray(grey[rows, cols], np.float32)
    if square.side_px == input_px:
        return part
    rule = cv2.INTER_AREA if square.side_px > input_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (input_px, input_px), interpolation=rule), np.float32)


def scale_planes(images: npt.NDArray[np.float32], intensity: Intensity) -> npt.NDArray[np.float32]:
    """Scale grey levels as a network was trained on them.

    Parameters
    ----------
    images : (n, h, w) float32 array, dn
        0..255.
    intensity : ingest.readers.Intensity

    Returns
    -------
    (n, planes, h, w) float32 array
        (level / 255 - mean) / std.
    """
    mean, std = (
        np.array(values, np.float32)[:, None, None] for values in (intensity.mean, intensity.std)
    )
    return (images[:, None] / np.float32(255) - mean) / std
