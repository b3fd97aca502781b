"""The eight flips and transpositions of an image: the variants of test-time augmentation (TTA)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


VARIANTS = tuple(range(8))
TRANSPOSED, UPSIDE_DOWN, MIRRORED = 4, 2, 1
"""What a variant is made of, bit by bit; axes are exchanged first."""

N = TypeVar("N", bound=np.number)
"""A type of numbers, which a variant does not change."""


def apply_variant(planes: npt.NDArray[N], variant: int) -> npt.NDArray[N]:
    """Turn planes into one of their eight variants.

    Parameters
    ----------
    planes : (..., h, w) array
    variant : int
        One of `VARIANTS`; 0 leaves the planes as they are. The others are every combination of a
        mirrored row (1), reversed rows (2) and, before both, exchanged axes (4).

    Returns
    -------
    (..., h, w) or (..., w, h) array
        A view.
    """
    if variant & TRANSPOSED:
        planes = np.swapaxes(planes, -1, -2)
    if variant & UPSIDE_DOWN:
        planes = planes[..., ::-1, :]
    if variant & MIRRORED:
        planes = planes[..., ::-1]
    return planes


def undo_variant(planes: npt.NDArray[N], variant: int) -> npt.NDArray[N]:
    """Turn a variant back; see `apply_variant`."""
    if variant & MIRRORED:
        planes = planes[..., ::-1]
    if variant & UPSIDE_DOWN:
        planes = planes[..., ::-1, :]
    if variant & TRANSPOSED:
        planes = np.swapaxes(planes, -1, -2)
    return planes


def average_variants(
    function: Callable[[npt.NDArray[N]], npt.NDArray[np.number]],
    planes: npt.NDArray[N],
) -> npt.NDArray[np.float32]:
    """Mean over the eight variants of what a function makes of each, every one turned back.

    Parameters
    ----------
    function : callable
        (C, h, w) array to an array of the same axes, at any scale.
    planes : (C, h, w) array

    Returns
    -------
    (C, h', w') float32 array

    Notes
    -----
    The sum is taken in float64 and rounded once, to float32: of eight equal results the mean is
    that result exactly. Upscayl's program sums in float32.
    """
    results = (
        undo_variant(function(apply_variant(planes, variant)), variant) for variant in VARIANTS
    )
    total = next(results).astype(np.float64)
    for result in results:
        total = np.add(total, result)
    return (total / len(VARIANTS)).astype(np.float32)
