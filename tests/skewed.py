"""Student's t corrected for skewness, by scipy: the oracle of every mean whose values lean."""

import numpy as np
from scipy import optimize, stats


def transform(t, values):
    """Johnson's two terms and Hall's third, from scipy's unbiased skewness."""
    skewness, root = stats.skew(values, bias=False), np.sqrt(len(values))
    added = skewness * t**2 / 3 + skewness / 6
    return t + added / root + skewness**2 * t**3 / (27 * root**2)


def find_ends(values):
    """The means that a corrected t just does not reject, by solving for them."""
    limit, error = stats.t.ppf(0.975, len(values) - 1), stats.sem(values)
    return [
        optimize.brentq(
            lambda mean, limit=limit: transform((np.mean(values) - mean) / error, values) - limit,
            np.mean(values) - 40 * error,
            np.mean(values) + 40 * error,
            xtol=1e-14,
        )
        for limit in (limit, -limit)
    ]


def find_p(t, values):
    """The two-sided p of a corrected t."""
    return 2 * stats.t.sf(abs(t), len(values) - 1)
