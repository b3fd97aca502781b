"""Intervals of a mean over a few independent values: one a patient, or one a seed."""

import functools
import math
from collections.abc import Sequence
from statistics import mean, stdev

import numpy as np

_GRID = 200_001


def bound_mean(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Mean of a few values with its 95 % interval by Student's t.

    Parameters
    ----------
    values : sequence of float
        Independent of each other; at least one.

    Returns
    -------
    centre : float
    low, high : float or None
        None with fewer than two values.
    """
    centre = mean(values)
    if len(values) < 2:
        return centre, None, None
    half = find_student_95(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return centre, centre - half, centre + half


@functools.cache
def find_student_95(freedom: int) -> float:
    """Find the value that Student's t exceeds in size in 5 of 100 cases.

    Parameters
    ----------
    freedom : int
        Degrees of freedom, at least 1.

    Returns
    -------
    float
        Right to 1e-5 of itself.

    Notes
    -----
    With t = sqrt(v) tan(a), the share within +-t is the integral of cos(a)^(v - 1) from 0 to a
    over that from 0 to pi/2, by the trapezoidal rule.
    """
    angles = np.linspace(0, math.pi / 2, _GRID)
    heights = np.cos(angles) ** (freedom - 1)
    share = np.concatenate([[0.0], np.cumsum((heights[1:] + heights[:-1]) / 2)])
    angle = np.interp(0.95, share / share[-1], angles)
    return float(math.sqrt(freedom) * math.tan(angle))
