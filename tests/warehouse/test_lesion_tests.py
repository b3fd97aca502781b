"""Tests and intervals of mart_lesion_risk, without dbt, against formulas in NumPy and scipy."""

import itertools

import duckdb
import numpy as np
import pytest
from scipy import stats

from tests.macros import make_environment
from tests.skewed import find_ends, find_p, transform

QUANTITIES = ("local_ssim", "extreme", "mse_dn2")
FINDINGS = ("Mass", "Nodule", "Effusion")
MODEL = "dbt_project/models/marts/fidelity/mart_lesion_risk.sql"
STUDENT = "dbt_project/models/intermediate/clusters/int_student_limits.sql"
MACROS = ("constants", "special_functions", "skewed_means", "cluster_unit", "fidelity")
PATIENTS = 40


@pytest.fixture(scope="module")
def environment():
    """Give the project's macros that these dbt models use, rendered without dbt."""
    return make_environment(*MACROS, lesion_quantities=lambda path: dict.fromkeys(QUANTITIES))


@pytest.fixture(scope="module")
def macros(environment):
    """Give these macros by name."""
    return environment.globals


def draw_cases():
    """Values of each model, finding and quantity: a list of (difference, excess) by patient."""
    generator, cases = np.random.default_rng(6), {}
    shifts = {"bicubic": 0, "bent": 0.8}
    for (model_id, shift), finding, quantity in itertools.product(
        shifts.items(), FINDINGS, QUANTITIES
    ):
        count = {"Mass": PATIENTS, "Nodule": 15, "Effusion": 14}[finding]
        values = generator.standard_exponential(count) - 1 + shift * (finding == "Mass")
        excess = [None] * count if model_id == "bicubic" else generator.standard_normal(count) + 0.3
        cases[model_id, finding, quantity] = list(zip(values.tolist(), list(excess), strict=True))
    cases["flat", "Mass", "mse_dn2"] = [(0.1, 0.1)] * 20
    for model_id, quantity in itertools.product(shifts, QUANTITIES):
        cases[model_id, "any", quantity] = cases[model_id, "Mass", quantity]
    return cases


CASES = draw_cases()


@pytest.fixture(scope="module")
def risks(environment, repository):
    """Give the mart's row of each model, finding and quantity; notta only."""
    with duckdb.connect() as connection:
        connection.execute(
            "create table dim_models as select unnest(['bicubic', 'bent', 'flat']) as model_id"
        )
        connection.execute("create table int_box_blocks (finding varchar)")
        connection.executemany(
            "insert into int_box_blocks values (?)", [(name,) for name in (*FINDINGS, "any")]
        )
        connection.execute(
            "create table int_clusters as select 'p' || n as cluster_id"
            f" from range({PATIENTS}) as numbers (n)"
        )
        connection.execute(
            "create table int_cluster_lesions (model_id varchar, inference_path varchar,"
            " finding varchar, quantity varchar, cluster_id varchar, cluster_unit varchar,"
            " image_count bigint, inside_block_count bigint, outside_block_count bigint,"
            " inside_mean double, outside_mean double, difference double, excess double)"
        )
        connection.executemany(
            "insert into int_cluster_lesions values"
            " (?, 'notta', ?, ?, ?, 'patient', 1, 9, 91, ?, 0, ?, ?)",
            [
                (*key, f"p{number}", value, value, excess)
                for key, pairs in CASES.items()
                for number, (value, excess) in enumerate(pairs)
            ],
        )
        for name, path in {"int_student_limits": STUDENT, "mart_lesion_risk": MODEL}.items():
            sql = environment.from_string((repository / path).read_text()).render()
            connection.execute(f"create table {name} as {sql}")
        query = connection.execute("select * from mart_lesion_risk where inference_path = 'notta'")
        names = [column[0] for column in query.description]
        rows = [dict(zip(names, row, strict=True)) for row in query.fetchall()]
        return {(row["model_id"], row["finding"], row["quantity"]): row for row in rows}


def find_test(values):
    """Corrected t, its p, and the interval of the means that are just not rejected."""
    values = np.array(values)
    t = transform(values.mean() / stats.sem(values), values)
    return [*find_ends(values), t, find_p(t, values)]


@pytest.mark.parametrize(("prefix", "column"), [("difference", 0), ("excess", 1)])
def test_tests_are_johnsons_and_intervals_halls_from_15_patients_on(risks, prefix, column):
    names = [f"{prefix}_low", f"{prefix}_high"]
    names += ["t", "p_value"] if prefix == "difference" else ["excess_t", "excess_p_value"]
    for key, pairs in CASES.items():
        values = [pair[column] for pair in pairs if pair[column] is not None]
        row = risks[key]
        found = [row[name] for name in names]
        if not values:
            assert [row[prefix], *found] == [None] * 5
            continue
        assert row[prefix] == pytest.approx(np.mean(values), abs=1e-12)
        if len(values) < 15 or key[2] == "extreme" or np.ptp(values) == 0:
            assert found == [None] * 4
            continue
        assert found == pytest.approx(find_test(values), rel=1e-8, abs=1e-10)
        # Interval and test never disagree.
        assert (row[names[0]] <= 0 <= row[names[1]]) == (row[names[3]] >= 0.05)


def correct(p_values):
    """Holm's step-down correction of a dict of p values, in its own words."""
    ordered, corrected, largest = sorted(p_values, key=p_values.get), {}, 0.0
    for tested, name in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - tested) * p_values[name]))
        corrected[name] = largest
    return corrected


@pytest.mark.parametrize("prefix", ["", "excess_"])
def test_families_are_the_findings_of_a_quantity_and_those_of_all(risks, prefix):
    for model_id in ("bicubic", "bent"):
        tested = {
            (key[1], key[2]): row[f"{prefix}p_value"]
            for key, row in risks.items()
            if key[0] == model_id and row[f"{prefix}p_value"] is not None
        }
        assert len(tested) == (0 if prefix and model_id == "bicubic" else 6)
        for name, size, is_kin in (
            ("p_holm", "family_size", lambda one, two: one[1] == two[1]),
            ("p_holm_all", "family_all_size", lambda one, two: True),
        ):
            for one in tested:
                family = {
                    two: p
                    for two, p in tested.items()
                    if is_kin(one, two) and (one[0] == "any") == (two[0] == "any")
                }
                row = risks[(model_id, *one)]
                assert row[f"{prefix}{name}"] == pytest.approx(correct(family)[one], rel=1e-12)
                assert row[f"{prefix}{size}"] == len(family)


def test_the_union_alone_is_a_family_of_one(risks):
    row = risks["bent", "any", "local_ssim"]
    assert (row["p_holm"], row["family_size"]) == (row["p_value"], 1)
    assert row["family_all_size"] == 2


@pytest.mark.parametrize("k", [0.0, 1e-9, 9.9e-5, -1.01e-4, 0.05, -0.3, 0.9])
def test_a_t_comes_back_from_its_correction(macros, k):
    values = np.linspace(-8, 8, 33)
    with duckdb.connect() as connection:
        connection.execute("create table t (t double, k double)")
        connection.executemany("insert into t values (?, ?)", [(value, k) for value in values])
        corrected = f"select {macros['corrected_t']('t', 'k')} as c, k, t from t"
        back = f"select {macros['uncorrected_t']('c', 'k')} from ({corrected}) order by t"
        found = [row[0] for row in connection.execute(back).fetchall()]
    assert found == pytest.approx(values, abs=1e-9)


def test_a_large_mean_against_the_tail_stays_large(macros):
    """Johnson's terms alone turn back: t = -3 / k is corrected to the 0 of no effect."""
    k = 2 / np.sqrt(30)
    with duckdb.connect() as connection:
        (found,) = connection.execute(
            f"select {macros['corrected_t'](f'({-3 / k})', f'({k})')}"
        ).fetchone()
    assert -3 / k + k * (3 / k) ** 2 / 3 == pytest.approx(0)
    assert found == pytest.approx(-1 / k + k / 6)
