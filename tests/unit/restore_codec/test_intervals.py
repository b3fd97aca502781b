"""Intervals of few values, worked by hand with Student's published quantiles."""

import pytest

pytest.importorskip("scipy.stats", reason="pip install 'upscale-audit[codec]'")

from upscale_audit.restore.codec.intervals import bound_mean


@pytest.mark.parametrize(("count", "quantile"), [(2, 12.706), (3, 4.303), (12, 2.201)])
def test_an_interval_has_the_quantile_of_the_table(count, quantile):
    # One value of 1 among zeros: variance 1 / count, so a standard error of 1 / count.
    centre, low, high = bound_mean([1.0, *[0.0] * (count - 1)])
    assert centre == pytest.approx(1 / count)
    assert (centre - low, high - centre) == pytest.approx(2 * (quantile / count,), rel=1e-4)


def test_one_value_has_no_interval():
    assert bound_mean([4.0]) == (4.0, None, None)
