"""The macros of the cluster bootstrap, without dbt, against NumPy over every replicate."""

import duckdb
import numpy as np
import pytest

from tests.macros import make_environment

REPLICATES, CLUSTERS = 200, 9
GROUPS = ("a", "b")


@pytest.fixture(scope="module")
def macros():
    return make_environment("constants", "bootstrap").globals


@pytest.fixture(scope="module")
def drawn():
    """Give weights (replicate, cluster), and by group the clusters' parts and wholes."""
    generator = np.random.default_rng(4)
    places = generator.integers(0, CLUSTERS, (REPLICATES, CLUSTERS))
    weights = np.array([np.bincount(row, minlength=CLUSTERS) for row in places])
    sums = {group: generator.integers(-50, 50, CLUSTERS) for group in GROUPS}
    counts = {group: generator.integers(1, 20, CLUSTERS) for group in GROUPS}
    # Of b all but two clusters have nothing: some replicates draw neither of the two.
    counts["b"][2:] = 0
    sums["b"][2:] = 0
    return weights, sums, counts


@pytest.fixture(scope="module")
def connection(drawn):
    weights, sums, counts = drawn
    with duckdb.connect() as connection:
        connection.execute(
            "create table draws (replicate bigint, cluster_id bigint, weight bigint)"
        )
        connection.executemany(
            "insert into draws values (?, ?, ?)",
            [(b, c, weights[b, c].item()) for b, c in np.argwhere(weights).tolist()],
        )
        connection.execute(
            "create table clustered (name varchar, path varchar, cluster_id bigint,"
            " part decimal(18, 6), whole bigint)"
        )
        rows = [
            (group, "notta", cluster, int(sums[group][cluster]), int(counts[group][cluster]))
            for group in GROUPS
            for cluster in range(CLUSTERS)
        ]
        connection.executemany("insert into clustered values (?, ?, ?, ?, ?)", rows)
        yield connection


def reckon(drawn, group):
    """Ratios of every replicate; NaN where it drew nothing."""
    weights, sums, counts = drawn
    with np.errstate(invalid="ignore"):
        return (weights @ sums[group]) / (weights @ counts[group])


@pytest.mark.parametrize("group", GROUPS)
def test_a_replicates_ratio_is_of_the_clusters_it_drew_as_often_as_it_drew_them(
    macros, drawn, connection, group
):
    sql = macros["resampled"](["name", "path"], {"mean": ["part", "whole"]})
    found = connection.sql(
        f"select replicate, mean from ({sql}) where name = '{group}' order by replicate"
    ).fetchall()
    expected = reckon(drawn, group)
    assert [row[0] for row in found] == list(range(REPLICATES))
    means = np.array([np.nan if mean is None else mean for _, mean in found])
    np.testing.assert_array_equal(np.isnan(means), np.isnan(expected))
    np.testing.assert_allclose(means, expected, rtol=1e-15)
    assert np.isnan(expected).any() == (group == "b")


def test_the_ends_are_percentiles_of_the_replicates_that_have_a_value(macros, drawn, connection):
    replicates = macros["resampled"](["name"], {"mean": ["part", "whole"]})
    ends = macros["percentile_ends"]("2 * mean", "twice")
    sql = f"select name, {ends} from ({replicates}) group by name order by name"
    found = connection.sql(sql)
    assert found.columns == ["name", "twice_low", "twice_high"]
    for group, *pair in found.fetchall():
        expected = np.nanquantile(2 * reckon(drawn, group), [0.025, 0.975])
        np.testing.assert_allclose(pair, expected, rtol=1e-12)


def test_a_condition_leaves_the_other_replicates_out(macros, drawn, connection):
    replicates = macros["resampled"](["name"], {"mean": ["part", "whole"]})
    ends = macros["percentile_ends"]("mean", "own", "name = 'a'")
    pair = connection.sql(f"select {ends} from ({replicates})").fetchall()[0]
    np.testing.assert_allclose(pair, np.quantile(reckon(drawn, "a"), [0.025, 0.975]), rtol=1e-12)
    none = macros["percentile_ends"]("mean", "own", "name = 'c'")
    assert connection.sql(f"select {none} from ({replicates})").fetchall() == [(None, None)]
