"""Tail probabilities in SQL, against scipy, over more than any study asks of them."""

import itertools
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest
from scipy import special, stats

from tests.macros import make_environment

DEGREES = (1, 2, 3, 4, 7, 10, 30, 100, 666, 1566, 5002, 20_000, 100_000)


@pytest.fixture(scope="module")
def environment():
    """Give a Jinja environment that knows the project's special functions."""
    return make_environment("constants", "special_functions")


@pytest.fixture(scope="module")
def macros(environment):
    """Give the project's special functions, rendered without dbt."""
    return SimpleNamespace(**environment.globals)


@pytest.fixture(scope="module")
def evaluate():
    """Give a function from SQL and columns of doubles (NULL allowed) to its values."""
    with duckdb.connect() as connection:

        def run(sql, **columns):
            connection.execute(
                "create or replace table arguments"
                f" (place integer, {', '.join(f'{name} double' for name in columns)})"
            )
            rows = [(place, *row) for place, row in enumerate(zip(*columns.values(), strict=True))]
            marks = ", ".join("?" * (len(columns) + 1))
            connection.executemany(f"insert into arguments values ({marks})", rows)
            found = connection.sql(f"select {sql} from arguments order by place").fetchall()
            return [value for (value,) in found]

        yield run


def test_student_p_is_scipys_from_1_to_the_smallest_double(macros, evaluate):
    sizes = np.concatenate([np.geomspace(1e-9, 60, 60), [1, 1.5, 30, 1e3, 1e6]])
    grid = [(t, df) for t, df in itertools.product(sizes, DEGREES) if stats.t.sf(t, df) > 1e-300]
    t, df = (np.array(column, float) for column in zip(*grid, strict=True))
    # Below 1e-5 scipy loses what is left of 1 - p; the tail is then linear to 1e-15.
    expected = np.where(t < 1e-5, 1 - 2 * t * stats.t.pdf(0, df), 2 * stats.t.sf(t, df))
    assert expected.min() < 1e-295
    for sign in (1, -1):
        found = evaluate(macros.student_p("t", "df"), t=list(sign * t), df=list(df))
        assert np.allclose(found, expected, rtol=1e-9, atol=0)
        few = df <= 5002
        assert np.allclose(np.array(found)[few], expected[few], rtol=1e-10, atol=0)


def test_student_p_of_a_published_correlation_is_not_rounded_away(macros, evaluate):
    r, df = -0.1529839571257516, 5002.0
    t = r * np.sqrt(df / (1 - r * r))
    (found,) = evaluate(macros.student_p("t", "df"), t=[t], df=[df])
    assert found == pytest.approx(1.3839425872228e-27, rel=1e-11)


def test_student_p_at_the_edges(macros, evaluate):
    t = [0.0, 0.0, None, 1.0, 1.0, 1e200]
    df = [5.0, None, 5.0, None, 0.5, 3.0]
    found = evaluate(macros.student_p("t", "df"), t=t, df=df)
    assert found[0] == 1
    assert found[2:5] == [None, None, None]
    assert found[5] is None or found[5] == 0


def test_chi_square_p_is_scipys_on_both_sides_of_its_switch(macros, evaluate):
    values = np.concatenate([np.geomspace(1e-12, 1370, 400), np.linspace(7.9, 8.1, 41), [3.841459]])
    expected = stats.chi2.sf(values, 1)
    assert expected.min() < 1e-295
    found = evaluate(macros.chi_square_p("x"), x=list(values))
    assert np.allclose(found, expected, rtol=1e-10, atol=0)


def test_chi_square_p_of_the_published_boundary_is_its_published_value(macros, evaluate):
    observed = (1250 - 0.75 * 1251) ** 2 / (0.75 * 0.25 * 1251)
    found = evaluate(macros.chi_square_p("x"), x=[observed, 0.0, None, -1.0])
    assert found[0] == pytest.approx(4.16826241961808e-92, rel=1e-11)
    assert found[1:] == [1, None, None]


def sum_tail(count, trials, probability):
    """Logarithm of P(X >= count): scipy's, and below what a double holds its terms' sum."""
    tail = stats.binom.logsf(count - 1, trials, probability)
    if tail > -600:
        return tail
    return special.logsumexp(stats.binom.logpmf(np.arange(count, trials + 1), trials, probability))


def test_ln_binomial_tail_is_scipys_far_below_the_smallest_double(macros, evaluate):
    grid = [
        (count, trials, probability)
        for trials in (1, 2, 12, 150, 1251, 5004, 100_000)
        for share in (0, 0.01, 0.031, 0.1, 0.5, 0.74, 0.9, 1)
        for probability in (1e-4, 508 / 16384, 0.25, 0.5, 0.74212646484375, 0.999)
        for count in {round(share * trials), min(trials, round(share * trials) + 1)}
    ]
    expected = np.array([sum_tail(*case) for case in grid])
    assert expected.min() < -1000 * np.log(10)
    k, n, p = (list(map(float, column)) for column in zip(*grid, strict=True))
    found = np.array(evaluate(macros.ln_binomial_tail("k", "n", "p"), k=k, n=n, p=p))
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_ln_binomial_tail_of_the_published_frame(macros, evaluate):
    """Definitions D.2: 957 of 1251 worst blocks on the frame of a 128 x 128 grid."""
    arguments = {"k": [957.0], "n": [1251.0], "p": [508 / 16384]}
    (found,) = evaluate(macros.ln_binomial_tail("k", "n", "p"), **arguments)
    assert found == pytest.approx(sum_tail(957, 1251, 508 / 16384), rel=1e-11)
    assert found / np.log(10) == pytest.approx(-1153.03877335, abs=1e-6)


def test_ln_binomial_tail_at_the_edges(macros, evaluate):
    found = evaluate(
        macros.ln_binomial_tail("k", "n", "p"),
        k=[0.0, 0.0, None, 3.0, 3.0, 3.0],
        n=[0.0, 9.0, 9.0, None, 9.0, 3.0],
        p=[0.5, 0.5, 0.5, 0.5, None, 0.25],
    )
    assert found[:5] == [0, 0, None, None, None]
    assert found[5] == pytest.approx(3 * np.log(0.25), rel=1e-13)


def test_ln_beta_regularised_is_scipys(macros, evaluate):
    shapes = (0.5, 1, 2.5, 17, 300, 2501, 50_000)
    places = (1e-12, 1e-3, 0.03, 0.3, 0.5, 0.7, 0.97, 0.999)
    grid = [(x, a, b) for x in places for a in shapes for b in shapes]
    x, a, b = (np.array(column) for column in zip(*grid, strict=True))
    expected = special.betainc(a, b, x)
    seen = (expected > 1e-290) & (expected < 1)
    columns = {"x": list(x[seen]), "a": list(a[seen]), "b": list(b[seen])}
    found = evaluate(macros.ln_beta_regularised("x", "(1 - x)", "a", "b"), **columns)
    assert np.allclose(found, np.log(expected[seen]), rtol=1e-9, atol=1e-10)
    outside = {"x": [0.0, 1.0, None, 0.5], "a": [1.0, 1.0, 1.0, 0.0], "b": [1.0] * 4}
    sql = macros.ln_beta_regularised("x", "(1 - x)", "a", "b")
    assert evaluate(sql, **outside) == [None] * 4


def test_student_limits_are_scipys_for_up_to_100_000_clusters(repository, environment):
    path = repository / "dbt_project/models/intermediate/clusters/int_student_limits.sql"
    sql = environment.from_string(path.read_text()).render()
    with duckdb.connect() as connection:
        connection.execute(
            "create view int_clusters as"
            " select 'patient:' || item as cluster_id from range(100000) as items (item)"
        )
        rows = connection.sql(f"select * from ({sql}) order by df").fetchall()
    df, found, stretch = (np.array(column) for column in zip(*rows, strict=True))
    assert list(df) == list(range(1, 100_001))
    assert np.allclose(found, stats.t.ppf(0.975, df), rtol=2e-9, atol=0)
    wider = stats.t.ppf(0.975, df) / stats.norm.ppf(0.975) * np.sqrt((df + 1) / df)
    assert np.allclose(stretch, wider, rtol=2e-9, atol=0)
