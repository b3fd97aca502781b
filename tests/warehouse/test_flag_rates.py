"""Intervals of flag rates, without dbt, against Korn and Graubard's formulas and scipy."""

import duckdb
import numpy as np
import pytest
from scipy import stats

from tests.macros import make_environment

MODELS = "dbt_project/models"
PATHS = {
    "int_student_limits": f"{MODELS}/intermediate/clusters/int_student_limits.sql",
    "int_flag_counts": f"{MODELS}/intermediate/quality/int_flag_counts.sql",
    "int_beta_points": f"{MODELS}/intermediate/quality/int_beta_points.sql",
    "mart_flag_rates": f"{MODELS}/marts/quality/mart_flag_rates.sql",
}
SHARES_OF = (
    "int_tier3_shares",
    "int_consistency_shares",
    "int_sfrc_shares",
    "int_sham_shares",
    "int_detector_alarms",
    "int_detector_findings",
    "int_free_response_findings",
    "int_rule_shares",
    "int_reading_flips",
    "int_localisation_shares",
)
SHARES = "".join(
    f"create table {name} (effective_flagged double, effective_count double);" for name in SHARES_OF
)
MEASURED = (
    "rule_set", "population", "source_id", "model_id", "inference_path", "rule_id",
    "thresholds_sha256", "kind", "contrast_dn", "sham_count", "alarm_count", "drawn_count",
    "found_count", "false_alarm_low_ratio", "false_alarm_high_ratio", "sensitivity_low_ratio",
    "sensitivity_high_ratio",
)  # fmt: skip
TYPES = {"count": "bigint", "ratio": "double"}
COLUMNS = ", ".join(f"{name} {TYPES.get(name[-5:], 'varchar')}" for name in MEASURED)
NOTHING_MEASURED = "".join(
    f"create table {name} ({COLUMNS});" for name in ("int_rule_limits", "stg_raw__measured_rules")
)


@pytest.fixture(scope="module")
def render(repository):
    """Give a function from a dbt model's name to its SQL, rendered without dbt."""
    environment = make_environment("constants", "special_functions", "cluster_unit", "shares")
    return lambda name: environment.from_string((repository / PATHS[name]).read_text()).render()


def draw_flags(seed, patients, rate):
    """(patient, flag) of 1 to 4 images each; images of a patient often agree, some are NULL."""
    generator = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        own = bool(generator.random() < rate)
        for _ in range(generator.integers(1, 5)):
            flag = own if generator.random() < 0.6 else bool(generator.random() < rate)
            rows.append((patient, None if generator.random() < 0.1 else flag))
    return rows


CASES = {
    **{
        f"r{n}": draw_flags(n, patients, rate)
        for n, (patients, rate) in enumerate(
            [(5, 0.3), (8, 0.1), (12, 0.5), (30, 0.02), (30, 0.9), (200, 0.05), (200, 0.5)]
        )
    },
    "few": draw_flags(20, 4, 0.5),
    "none": [(number // 2, False) for number in range(20)],
    "all": [(number // 2, True) for number in range(20)],
    "unlike": [(number // 2, bool(number % 2)) for number in range(20)],
    "unknown": [(number // 2, None) for number in range(20)],
}


@pytest.fixture(scope="module")
def rates(render):
    """Give the mart's row of each case, by name."""
    with duckdb.connect() as connection:
        connection.execute(
            "create table fct_rule_flags (rule_set varchar, population varchar, source_id varchar,"
            " model_id varchar, inference_path varchar, image_id varchar, rule_id varchar,"
            " is_flagged boolean)"
        )
        connection.execute(
            "create table fct_verdicts as select rule_set, population, source_id, model_id,"
            " inference_path, image_id, 0 as evaluated_count, 0 as detection_count"
            " from fct_rule_flags"
        )
        connection.execute(
            "create table int_clusters (image_id varchar, cluster_id varchar, cluster_unit varchar)"
        )
        for name, flags in CASES.items():
            images = [f"{name}_{number}" for number in range(len(flags))]
            connection.executemany(
                "insert into int_clusters values (?, ?, 'patient')",
                [(image, f"{name}_{row[0]}") for image, row in zip(images, flags, strict=True)],
            )
            connection.executemany(
                "insert into fct_rule_flags"
                " values ('v2_current', 'frozen', 's', 'm', 'n', ?, ?, ?)",
                [(image, name, row[1]) for image, row in zip(images, flags, strict=True)],
            )
        connection.execute(SHARES + NOTHING_MEASURED)
        for name in PATHS:
            connection.execute(f"create table {name} as {render(name)}")
        found = connection.execute(
            "select rule_id, cluster_count, evaluated_count, flagged_ratio, flagged_low_ratio,"
            " flagged_high_ratio, effective_count from mart_flag_rates"
        ).fetchall()
        return {row[0]: row[1:] for row in found}


def find_interval(flags):
    """Effective count and interval, from the papers: linearised variance over clusters, degrees
    of freedom, Clopper-Pearson."""
    known = [(patient, int(flag)) for patient, flag in flags if flag is not None]
    total, rate = len(known), np.mean([flag for _, flag in known])
    patients = sorted({patient for patient, _ in known})
    scores = np.array(
        [
            sum((flag - rate) / total for owner, flag in known if owner == patient)
            for patient in patients
        ]
    )
    number = len(patients)
    variance = number / (number - 1) * np.sum((scores - scores.mean()) ** 2)
    size = rate * (1 - rate) / variance
    size *= (stats.t.ppf(0.975, total - 1) / stats.t.ppf(0.975, number - 1)) ** 2
    size = min(size, total)
    low = stats.beta.ppf(0.025, size * rate, size * (1 - rate) + 1)
    high = stats.beta.ppf(0.975, size * rate + 1, size * (1 - rate))
    return size, low, high


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("r")])
def test_a_rate_between_has_the_interval_of_korn_and_graubard(rates, name):
    known = [flag for _, flag in CASES[name] if flag is not None]
    assert 0 < sum(known) < len(known)
    _, evaluated, ratio, low, high, size = rates[name]
    assert (evaluated, ratio) == (len(known), pytest.approx(np.mean(known)))
    expected = find_interval(CASES[name])
    assert (size, low, high) == pytest.approx(expected, abs=2e-9, rel=1e-8)
    assert low < ratio < high


def test_without_a_flag_or_with_all_each_patient_counts_for_one(rates):
    exact = stats.binomtest(0, 10).proportion_ci(method="exact")
    none, all_ = rates["none"], rates["all"]
    assert none[2:] == (0, 0, pytest.approx(exact.high, abs=1e-9), 10)
    assert all_[2:] == (1, pytest.approx(1 - exact.high, abs=1e-9), 1, 10)


def test_patients_with_equal_rates_say_at_most_what_their_images_say(rates):
    exact = stats.binomtest(10, 20).proportion_ci(method="exact")
    low, high, size = rates["unlike"][3:]
    assert (low, high, size) == pytest.approx((exact.low, exact.high, 20), abs=1e-9)


def test_too_few_patients_and_no_decision_have_no_interval(rates):
    assert rates["few"][0] < 5
    assert rates["few"][2] is not None
    assert rates["few"][3:] == (None, None, None)
    assert rates["unknown"] == (0, 0, None, None, None, None)


def test_points_are_scipys_for_every_size_of_study(render):
    counts = [
        (float(share * size), float(size))
        for size in (2.2, 5, 6.5, 30, 99.9, 1567, 5004, 40_000)
        for share in (0, 0.001, 0.02, 0.1, 0.5, 0.9, 0.999, 1)
    ]
    with duckdb.connect() as connection:
        connection.execute(
            "create table int_flag_counts (effective_flagged double, effective_count double)"
        )
        connection.execute(SHARES + NOTHING_MEASURED)
        connection.executemany("insert into int_flag_counts values (?, ?)", counts[::2])
        connection.executemany("insert into int_tier3_shares values (?, ?)", counts[1::2])
        rows = connection.execute(render("int_beta_points")).fetchall()
    a, b, found = (np.array(column) for column in zip(*rows, strict=True))
    assert len(found) > 80
    assert found == pytest.approx(stats.beta.ppf(0.025, a, b), rel=1e-9)
