"""Simulated places of images: they mean what the page states, and the marts' SQL reads them."""

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy import stats

from tests.calibration.places import (
    AREA_STEP,
    BASELINE,
    BASELINE_STEP,
    ERROR_DN2,
    FAR,
    NEAR,
    QUESTIONS,
    RMS_DN,
    RMS_STEP,
    SHARE,
    SHARE_SD,
    SHARE_STEP,
    build_places,
    count_places,
    simulate_places,
)
from tests.calibration.rendered import SHAPES
from tests.skewed import find_ends


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_simulated_has_the_means_and_spreads_that_the_page_states(shape):
    images = simulate_places(20000, shape, 1, 0)
    own, base = (images.filter(pl.col("model_id") == name) for name in ("s0", BASELINE))
    for place in ("frame", "seam"):
        for rows, step, residual in (
            (own, SHARE_STEP, RMS_STEP),
            (base, 0, BASELINE_STEP),
        ):
            assert rows[f"{place}_near"].mean() / NEAR == pytest.approx(SHARE + step, abs=0.002)
            assert rows[f"{place}_far"].mean() / FAR == pytest.approx(SHARE, abs=0.002)
            near, far = rows[f"{place}_rms_near"] / NEAR, rows[f"{place}_rms_far"] / FAR
            assert far.mean() == pytest.approx(RMS_DN, abs=0.015)
            assert (near - far).mean() == pytest.approx(residual, abs=0.015)
        shares = own[f"{place}_far"] / FAR
        spread = np.sqrt(shares.var() - (SHARE * (1 - SHARE) - SHARE_SD**2) / FAR)
        assert spread == pytest.approx(SHARE_SD, rel=0.04)
    for kind in ("region", "content"):
        assert own[f"{kind}_1"].mean() == pytest.approx(ERROR_DN2, abs=0.15)
        step = own[f"{kind}_2"] - own[f"{kind}_1"]
        assert step.mean() == pytest.approx(AREA_STEP, abs=0.15)
        assert (base[f"{kind}_2"] - base[f"{kind}_1"]).mean() == pytest.approx(0, abs=0.15)


@pytest.fixture(scope="module")
def built():
    """Give what was simulated, and a connection to the marts that were built of it."""
    images = simulate_places(18, "skewed", 2, 3)
    with duckdb.connect() as connection:
        build_places(connection, images, 3)
        yield images, connection


def test_the_profile_bounds_what_was_simulated(built):
    images, connection = built
    own, base = (images.filter(pl.col("model_id") == name) for name in ("s1", BASELINE))
    for place in ("frame", "seam"):
        for quantity, stem in (("lr_contradicted_ratio", ""), ("lr_rms_dn", "rms_")):
            near, far = f"{place}_{stem}near", f"{place}_{stem}far"
            steps = [rows[near].mean() / NEAR - rows[far].mean() / FAR for rows in (own, base)]
            (row,) = (
                connection.sql(
                    "from mart_consistency_profile where model_id = 's1' and inference_path ="
                    f" 'notta' and place = '{place}' and quantity = '{quantity}'"
                )
                .pl()
                .to_dicts()
            )
            assert row["difference"] == pytest.approx(steps[0], abs=1e-6)
            assert row["difference_low"] < steps[0] < row["difference_high"]
            assert row["excess"] == pytest.approx(steps[0] - steps[1], abs=1e-6)
            assert row["excess_low"] < steps[0] - steps[1] < row["excess_high"]


@pytest.mark.parametrize(
    ("mart", "kind", "where"),
    [("mart_regions", "region", "region = 'lung'"), ("mart_content", "content", "decile = 2")],
)
def test_areas_have_the_interval_of_a_t_corrected_for_skewness(built, mart, kind, where):
    images, connection = built
    own, base = (images.filter(pl.col("model_id") == name) for name in ("s1", BASELINE))
    patients = own["patient"].to_numpy()

    def mean(values):
        return np.array([values.to_numpy()[patients == one].mean() for one in range(18)])

    step = own[f"{kind}_2"] - own[f"{kind}_1"]
    expected = {
        "mean": mean(own[f"{kind}_2"]),
        "difference": mean(step),
        "excess": mean(step - (base[f"{kind}_2"] - base[f"{kind}_1"])),
    }
    (row,) = (
        connection.sql(f"from {mart} where model_id = 's1' and {where} and quantity = 'mse_dn2'")
        .pl()
        .to_dicts()
    )
    for name, values in expected.items():
        assert row[name] == pytest.approx(values.mean(), abs=1e-6)
        low, high = find_ends(values)
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((low, high), abs=1e-5)
    plain = stats.t.interval(0.95, 17, expected["mean"].mean(), stats.sem(expected["mean"]))
    assert row["mean_high"] != pytest.approx(plain[1], abs=0.01), "corrected for skewness"


def test_every_question_is_answered_by_every_study_of_enough_patients():
    counts = count_places(builds=1, studies=3, sizes=(6, 15))
    assert {count.name for count in counts} == {question.name for question in QUESTIONS}
    for count in counts:
        is_area = "squared error" in count.name
        expected = 0 if is_area and count.patients < 15 else 3
        assert {studies for _, studies in count.builds} == {expected}, count.name
