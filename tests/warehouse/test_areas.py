"""Simulated areas under the ROC curve: their truth is theirs, and their page counts them."""

import numpy as np
import polars as pl
import pytest

from tests.calibration.areas import (
    AREAS,
    PATIENTS,
    SHAMS,
    Coverage,
    estimate_areas,
    format_areas,
    name_area,
    simulate_scores,
)


@pytest.mark.parametrize("area", AREAS)
def test_the_truth_is_the_area_of_places_of_different_patients(area):
    scores = simulate_scores(2000, 1).filter(pl.col("kind") == name_area(area))
    shams = scores.filter(arm="sham").group_by("patient").agg(pl.col("score").first())
    drawn = scores.filter(arm="auditor").group_by("patient").agg(pl.col("score").first())
    ordered = np.sort(shams["score"].to_numpy())
    found = np.searchsorted(ordered, drawn["score"].to_numpy()).mean() / len(ordered)
    assert found == pytest.approx(area, abs=0.025)


def test_the_sql_estimates_what_was_simulated():
    scores = simulate_scores(10, 3)
    rows = estimate_areas(scores)
    assert len(rows) == 3 * len(AREAS)
    for row in rows:
        own = scores.filter(
            pl.col("kind") == row["kind"], pl.col("study") == int(row["model_id"][1:])
        )
        drawn, shams = (own.filter(arm=arm)["score"].to_numpy() for arm in ("auditor", "sham"))
        assert (row["drawn_count"], row["sham_count"]) == (len(drawn), 10 * SHAMS)
        area = (drawn[:, None] > shams).mean()
        assert row["auc"] == pytest.approx(area, abs=1e-9)
        assert row["auc_low"] is None or row["auc_low"] < row["auc"] < row["auc_high"]


def test_the_page_gives_each_share_with_its_own_interval():
    counts = [
        Coverage(patients, area, 200, 200 if area < 0.98 else 150, 141)
        for patients in PATIENTS
        for area in AREAS
    ]
    text = format_areas(counts)
    assert text.count("| **70.5** (63.8 to 76.4)") == 8
    assert text.count("| 94.0 (89.0 to 96.8, n = 150)") == 4
