"""Intervals of a mean over a few independent values: one a patient, or one a seed."""

import math
from collections.abc import Sequence
from statistics import mean, stdev

from scipy import stats


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
    quantile = float(stats.t.ppf(0.975, len(values) - 1))
    half = quantile * stdev(values) / math.sqrt(len(values))
    return centre, centre - half, centre + half
