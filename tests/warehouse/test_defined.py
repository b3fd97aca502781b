"""The macros that give NULL for what an aggregate cannot say, without dbt, against NumPy."""

from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

from tests.macros import make_environment

NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def macros():
    return SimpleNamespace(**make_environment("defined").globals)


@pytest.fixture(scope="module")
def lists():
    return SimpleNamespace(**make_environment("fidelity").globals)


@pytest.fixture
def correlate(macros):
    """Give a function from two columns, None allowed, to the correlation that SQL finds."""

    def run(first, second):
        with duckdb.connect() as connection:
            connection.execute("create table pairs (x double, y double)")
            rows = list(zip(first, second, strict=True))
            connection.executemany("insert into pairs values (?, ?)", rows)
            return connection.execute(
                f"select {macros.correlation('x', 'y')} from pairs"
            ).fetchone()[0]

    return run


@pytest.mark.parametrize(
    ("value", "expected"), [(1.5, 1.5), (0.0, 0.0), (NAN, None), (INF, None), (-INF, None)]
)
def test_what_is_no_number_is_null(macros, value, expected):
    with duckdb.connect() as connection:
        sql = f"select {macros.defined('cast(? as double)')}"
        assert connection.execute(sql, [value] * sql.count("?")).fetchone() == (expected,)


def test_null_stays_null(macros):
    with duckdb.connect() as connection:
        sql = f"select {macros.defined('cast(null as double)')}"
        assert connection.execute(sql).fetchone() == (None,)


def test_a_correlation_is_numpys_over_the_rows_that_have_both(correlate):
    x, y = np.random.default_rng(1).standard_normal((2, 40))
    gappy_x = [None if n % 7 == 0 else value for n, value in enumerate(x.tolist())]
    gappy_y = [None if n % 5 == 0 else value for n, value in enumerate(y.tolist())]
    both = [n for n in range(40) if n % 7 and n % 5]
    expected = np.corrcoef(x[both], y[both])[0, 1]
    assert correlate(gappy_x, gappy_y) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([None], [None]),
        ([1.0], [2.0]),
        ([1.0, 2.0], [2.0, 5.0]),
        ([1.0, 2.0, None], [2.0, 5.0, 6.0]),
        ([None] * 4, [1.0, 2.0, 3.0, 4.0]),
        ([0.1] * 10, [float(n) for n in range(10)]),
        ([float(n) for n in range(10)], [0.1] * 10),
        # Varies only where the other is missing.
        ([1.0, 1.0, 1.0, 7.0], [1.0, 2.0, 3.0, None]),
        # Varies by less than doubles can square.
        ([0.0, 1e-200, 2e-200], [1.0, 2.0, 3.0]),
    ],
)
def test_a_correlation_without_meaning_is_null(correlate, first, second):
    assert correlate(first, second) is None


def centre(values):
    mean = sum(values) / len(values)
    return [value - mean for value in values]


@pytest.mark.parametrize("name", ["r_of_lists", "slope_of_lists"])
def test_equal_items_whose_mean_is_not_theirs_have_no_r_and_no_slope(lists, name):
    constant = centre([0.1] * 3)
    assert constant[0] != 0
    sql = f"select {getattr(lists, name)('x', 'y')} from (select cast(? as double[]) as x,"
    sql += " cast(? as double[]) as y)"
    with duckdb.connect() as connection:
        assert connection.execute(sql, [constant, [-1.0, 0.0, 1.0]]).fetchone() == (None,)


def test_points_on_a_line_correlate_by_exactly_one_at_most(lists):
    generator = np.random.default_rng(0)
    sql = f"select {lists.r_of_lists('x', 'y')} from (select cast(? as double[]) as x,"
    sql += " cast(? as double[]) as y)"
    found = []
    with duckdb.connect() as connection:
        for _ in range(200):
            x = generator.uniform(0, 1, 3)
            y = float(generator.uniform(-2, 2)) * x + 0.3
            pair = [centre(x.tolist()), centre(y.tolist())]
            found.append(abs(connection.execute(sql, pair).fetchone()[0]))
    assert max(found) == 1
    assert min(found) > 1 - 1e-9
