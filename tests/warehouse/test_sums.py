"""Simulated sums over images: they mean what the page states, and the marts' SQL reads them."""

import numpy as np
import polars as pl
import pytest

from tests.calibration.sums import (
    BENT_RATIO,
    BLOCKS,
    IMAGE_SD,
    MEAN_DN2,
    PATIENT_SD,
    PATIENTS,
    QUESTIONS,
    SHAPES,
    SHARE,
    SHARE_SD,
    Coverage,
    estimate_sums,
    format_sums,
    simulate_images,
)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_simulated_has_the_means_and_spreads_that_the_page_states(shape):
    images = simulate_images(20000, shape, 1, 0).filter(pl.col("model_id") == "s0")
    assert images["error"].mean() == pytest.approx(MEAN_DN2, rel=0.01)
    assert images["bent"].mean() == pytest.approx(MEAN_DN2 * BENT_RATIO, rel=0.01)
    spread = images["bent"].std() / MEAN_DN2 / BENT_RATIO
    assert spread == pytest.approx(np.hypot(PATIENT_SD, IMAGE_SD), rel=0.03)
    shares = images["flagged"] / BLOCKS
    within = SHARE * (1 - SHARE) / BLOCKS
    assert shares.mean() == pytest.approx(SHARE, rel=0.02)
    assert np.sqrt(shares.var() - within) == pytest.approx(SHARE_SD, rel=0.04)


def test_the_sql_bounds_what_was_simulated():
    images = simulate_images(12, "normal", 2, 3)
    found = estimate_sums(12, "normal", 2, 3)
    own = images.filter(pl.col("model_id") == "s1")
    base = images.filter(pl.col("model_id") == "bicubic")
    estimates = {
        QUESTIONS[0]: own["error"].mean(),
        QUESTIONS[1]: own["error"].mean() - base["error"].mean(),
        QUESTIONS[2]: own["bent"].mean(),
        QUESTIONS[3]: own["bent"].sum() / own["error"].sum(),
        QUESTIONS[4]: own["flagged"].mean() / BLOCKS,
        QUESTIONS[5]: own["flagged"].mean() / BLOCKS,
    }
    for question, estimate in estimates.items():
        _, (said, low, high) = found[question.name]
        assert said == pytest.approx(estimate, rel=1e-6), question.name
        assert low < said < high


def test_the_page_gives_each_share_with_its_own_interval():
    counts = [
        Coverage(question.name, patients, shape, 200, 188)
        for question in QUESTIONS
        for patients in PATIENTS
        for shape in SHAPES
    ]
    text = format_sums(counts)
    assert text.count("94.0 (89.8 to 96.5)") == len(counts)
    assert text.startswith("## Sums over images")
