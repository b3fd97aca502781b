"""Simulated maps and calls: they mean what the page states, and the marts' SQL reads them."""

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy import stats

from tests.calibration.maps import (
    FALSE_BOXES,
    FALSE_LESS,
    FLIPPED,
    FOUND,
    IMAGE_SD,
    KEPT,
    LIKENESS,
    PATIENT_SD,
    QUESTIONS,
    build_maps,
    count_maps,
    format_maps,
    simulate_maps,
)
from tests.calibration.rendered import SHAPES
from tests.skewed import find_ends


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_simulated_has_the_means_and_spreads_that_the_page_states(shape):
    images = simulate_maps(20000, shape, 1, 0)
    boxes = images["boxes"].sum()
    assert images["reference_found"].sum() / boxes == pytest.approx(FOUND, abs=0.01)
    assert images["restored_found"].sum() / boxes == pytest.approx(FOUND * KEPT, abs=0.01)
    assert images["reference_false"].mean() == pytest.approx(FALSE_BOXES, abs=0.02)
    assert images["restored_false"].mean() == pytest.approx(FALSE_BOXES - FALSE_LESS, abs=0.02)
    assert images["likeness"].mean() == pytest.approx(LIKENESS, abs=0.003)
    assert images["likeness"].std() == pytest.approx(np.hypot(PATIENT_SD, IMAGE_SD), rel=0.03)
    assert images["is_flipped"].mean() == pytest.approx(FLIPPED, abs=0.01)
    flipped, kept = (images.filter(is_flipped=one)["invented"].mean() for one in (True, False))
    assert flipped == pytest.approx(kept, abs=0.004)


def linearise(parts, wholes):
    """Values whose mean is a ratio of sums over patients, and whose spread is its own."""
    ratio = parts.sum() / wholes.sum()
    return ratio + (parts - ratio * wholes) / wholes.mean()


def bound_mean(values):
    """Student's interval of a mean."""
    return stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))


def test_the_sql_bounds_what_was_simulated():
    images = simulate_maps(20, "skewed", 2, 3)
    own = images.filter(pl.col("model_id") == "s1")
    sums = own.group_by("patient").agg(
        pl.exclude("model_id", "image", "likeness").sum(),
        pl.len().alias("images"),
        pl.col("likeness").mean(),
    )
    wholes, boxes = sums["images"].to_numpy(), sums["boxes"].to_numpy()
    with duckdb.connect() as connection:
        build_maps(connection, images)

        def ask(mart, where="true"):
            sql = f"from {mart} where model_id = 's1' and {where}"
            return connection.sql(sql).pl().to_dicts()[0]

        row = ask("mart_localisation")
        found, kept = (sums[f"{side}_found"].to_numpy() for side in ("reference", "restored"))
        false, fewer = (sums[f"{side}_false"].to_numpy() for side in ("reference", "restored"))
        for name, parts, divisor in (
            ("accuracy_difference", kept - found, boxes),
            ("false_difference", fewer - false, wholes),
        ):
            ends = row[f"{name}_low"], row[f"{name}_high"]
            assert ends == pytest.approx(bound_mean(linearise(parts, divisor)), abs=1e-6), name
        for name, parts in (("reference_false_mean", false), ("restored_false_mean", fewer)):
            values = linearise(parts, wholes)
            assert abs(stats.skew(values)) > 0.5
            low, high = find_ends(values)
            # As many false boxes as none, and no fewer.
            assert row[f"{name}_low"] == pytest.approx(max(0, low), abs=1e-6)
            assert row[f"{name}_high"] == pytest.approx(high, abs=1e-6)
        share = found.sum() / boxes.sum()
        assert row["reference_accuracy_low_ratio"] < share < row["reference_accuracy_high_ratio"]
        row = ask("mart_reading_maps", "quantity = 'map_correlation'")
        ends = row["mean_low"], row["mean_high"]
        assert ends == pytest.approx(find_ends(sums["likeness"].to_numpy()), abs=1e-6)
        row = ask("mart_reading_harm", "quantity = 'invented_ratio'")
        means = [own.filter(is_flipped=one)["invented"].mean() for one in (True, False)]
        assert row["difference"] == pytest.approx(means[0] - means[1], abs=1e-6)


def test_the_page_counts_every_question():
    counts = count_maps(builds=2, studies=3, sizes=(30,))
    assert {count.name for count in counts} == {question.name for question in QUESTIONS}
    assert {studies for count in counts if count.patients == 30 for _, studies in count.builds} == {
        3
    }
    text = format_maps(counts)
    assert text.startswith("## Readers' maps")
    assert "6 studies of each size, 3 to a draw" in text
