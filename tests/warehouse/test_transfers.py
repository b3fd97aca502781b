"""Simulated transfers: their SQL means what was simulated, and their page counts them."""

import numpy as np
import polars as pl
import pytest

from tests.calibration.transfers import (
    PATIENT_SD,
    PATIENTS,
    SHAPES,
    SITE_SD,
    TRUTH,
    Coverage,
    estimate_transfers,
    format_transfers,
    simulate_transfers,
)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_simulated_has_the_mean_and_the_spread_that_the_page_states(shape):
    sites = simulate_transfers(20000, shape, 1)
    first = sites.filter(site=0)["transfer"].to_numpy()
    assert first.mean() == pytest.approx(TRUTH, abs=0.005)
    assert first.std() == pytest.approx(np.hypot(PATIENT_SD, SITE_SD), rel=0.03)


def test_the_sql_estimates_what_was_simulated():
    sites = simulate_transfers(10, "normal", 3)
    rows = estimate_transfers(sites)
    assert len(rows) == 3
    for row in rows:
        own = sites.filter(pl.col("study") == int(row["model_id"][1:]))
        means = own.group_by("patient").agg(pl.col("transfer").mean())["transfer"].to_numpy()
        assert row["transfer"] == pytest.approx(means.mean(), abs=1e-9)
        half = 2.262157 * means.std(ddof=1) / np.sqrt(10)
        assert row["transfer_high"] - row["transfer"] == pytest.approx(half, rel=1e-5)


def test_the_page_gives_each_share_with_its_own_interval():
    counts = [Coverage(patients, shape, 200, 188) for patients in PATIENTS for shape in SHAPES]
    text = format_transfers(counts)
    assert text.count("94.0 (89.8 to 96.5)") == 10
