"""Simulated sums over images: they mean what the page states, and the marts' SQL reads them."""

import numpy as np
import polars as pl
import pytest

from tests.calibration.rendered import PATIENTS, SHAPES
from tests.calibration.sums import (
    BENT_RATIO,
    BLOCKS,
    IMAGE_SD,
    JUDGED_PX,
    MEAN_DN2,
    PATIENT_SD,
    QUESTIONS,
    SHARE,
    SHARE_SD,
    SILENT,
    UNSEEN,
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
    assert images["silent"].sum() / images["flagged"].sum() == pytest.approx(SILENT, abs=0.01)
    shares = images["flagged"] / BLOCKS
    within = SHARE * (1 - SHARE) / BLOCKS
    assert shares.mean() == pytest.approx(SHARE, rel=0.02)
    assert np.sqrt(shares.var() - within) == pytest.approx(SHARE_SD, rel=0.04)


def test_the_sql_bounds_what_was_simulated():
    images = simulate_images(12, "normal", 2, 3)
    found = estimate_sums(12, "normal", 2, 3)
    own = images.filter(pl.col("model_id") == "s1")
    base = images.filter(pl.col("model_id") == "bicubic")
    rest = own["error"].mean() - own["bent"].mean()
    estimates = {
        "invented energy of mart_ledger": own["error"].mean(),
        "the same less the baseline's": own["error"].mean() - base["error"].mean(),
        "what of the error is bent, mart_consistency": own["bent"].mean(),
        "what is invented, mart_consistency": UNSEEN["invented"] * rest,
        "bent, as a share of the error": own["bent"].sum() / own["error"].sum(),
        "share of contradicted blocks": own["flagged"].mean() / BLOCKS,
        "share of contradicted LR pixels": own["flagged"].mean() / JUDGED_PX,
        "share beyond a limit, mart_tier3_states": own["flagged"].mean() / BLOCKS,
        "the same of all blocks, mart_tier3_states": own["flagged"].mean() / BLOCKS / 2,
        "silent blocks among them, mart_tier3_states": own["silent"].sum() / own["flagged"].sum(),
        "silent blocks of the zone, mart_tier3_states": own["silent"].mean() / BLOCKS,
    }
    assert estimates.keys() == found.keys()
    for name, estimate in estimates.items():
        _, (said, low, high) = found[name]
        assert said == pytest.approx(estimate, rel=1e-6), name
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
