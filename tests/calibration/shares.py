"""Shares of simulated studies as the page writes them: value, its interval, bold beyond the aim."""

import math

COVERAGE_PCT, RATES_PCT, REJECTION_PCT = (93, 97), (95, 100), (4, 6)
"""What is aimed at: of intervals, of those that hold at least what they say, and of tests."""
_Z = 1.959963984540054


def estimate_share(builds):
    """Share of hits over builds, with a 95 % interval.

    Parameters
    ----------
    builds : list of (int, int)
        Hits and studies of each build.

    Returns
    -------
    tuple
        Share, lower and upper end, all 0..1, and the number of studies.

    Notes
    -----
    Wilson's interval (doi:10.1080/01621459.1927.10502953) of the effective number of studies:
    their number over the design effect, the variance between builds over the binomial one, taken
    as at least 1.
    """
    hits, studies = (sum(column) for column in zip(*builds, strict=True))
    share = hits / studies
    binomial = share * (1 - share) / studies
    design = 1.0
    if len(builds) > 1 and binomial > 0:
        between = sum((hit - share * count) ** 2 for hit, count in builds) / studies**2
        design = max(1.0, between * len(builds) / (len(builds) - 1) / binomial)
    number = studies / design
    centre = (share + _Z**2 / (2 * number)) / (1 + _Z**2 / number)
    half = _Z * math.sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2))
    half /= 1 + _Z**2 / number
    return share, max(0.0, centre - half), min(1.0, centre + half), studies


def format_share(builds, aim, of=None):
    """Format a share in per cent with its interval; bold where that lies beyond the aim.

    Parameters
    ----------
    builds : list of (int, int)
        Hits and studies of each build.
    aim : tuple of float
        Least and greatest, in per cent.
    of : int, optional
        Studies that were simulated; where another number has an answer, the cell says so.

    Returns
    -------
    str
        Empty where no study has an answer.
    """
    if not sum(studies for _, studies in builds):
        return ""
    value, low, high, number = estimate_share(builds)
    text = f"{100 * value:.1f}"
    if 100 * high < aim[0] or 100 * low > aim[1]:
        text = f"**{text}**"
    count = "" if of in (None, round(number)) else f", n = {round(number):,}"
    return f"{text} ({100 * low:.1f} to {100 * high:.1f}{count})"
