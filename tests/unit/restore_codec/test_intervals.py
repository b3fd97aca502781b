"""Intervals of few values, against SciPy's Student."""

import pytest

from upscale_audit.restore.codec.intervals import bound_mean, find_student_95

stats = pytest.importorskip("scipy.stats", reason="pip install scipy")


@pytest.mark.parametrize("freedom", [1, 2, 3, 11, 39, 500])
def test_the_limit_is_scipys(freedom):
    assert find_student_95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-5)


def test_an_interval_is_scipys_and_one_value_has_none():
    values = [1.0, 2.5, 2.0, 7.0]
    low, high = stats.t.interval(0.95, 3, loc=3.125, scale=stats.sem(values))
    assert bound_mean(values) == pytest.approx((3.125, low, high), rel=1e-5)
    assert bound_mean([4.0]) == (4.0, None, None)
