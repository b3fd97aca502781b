"""Simulated patients of a trust mask: the mart's SQL reads them, and the truth is theirs."""

import duckdb
import numpy as np
import pytest

from tests.calibration.masks import (
    GOOD_BLOCKS,
    LIMIT,
    QUESTIONS,
    SHAPES,
    build_masks,
    count_masks,
    find_truths,
    simulate_patients,
)
from tests.skewed import find_ends


@pytest.mark.parametrize("shape", SHAPES)
def test_the_truth_is_the_mean_of_patients_one_at_a_time(shape):
    bad, good = simulate_patients(np.random.default_rng(5), shape, 1, 4000)
    risks, masked = [], []
    for own, others in zip(bad[0], good[0], strict=True):
        own = own[own > 0]
        risks.append(np.mean(own <= LIMIT) if len(own) else 0.0)
        masked.append(np.mean(np.concatenate([own, others]) > LIMIT))
    risk, share = find_truths(shape)
    assert np.mean(risks) == pytest.approx(risk, abs=4 * np.std(risks) / np.sqrt(4000))
    assert np.mean(masked) == pytest.approx(share, abs=4 * np.std(masked) / np.sqrt(4000))


def test_the_sql_bounds_what_was_simulated():
    bad, good = simulate_patients(np.random.default_rng(6), "skewed", 2, 20)
    missed = ((bad[1] > 0) & (bad[1] <= LIMIT)).sum(axis=1)
    count = (bad[1] > 0).sum(axis=1)
    risk = missed / np.maximum(count, 1)
    masked = 1 - (missed + (good[1] <= LIMIT).sum(axis=1)) / (count + GOOD_BLOCKS)
    with duckdb.connect() as connection:
        build_masks(connection, (bad, good))
        (row,) = connection.sql("from mart_guarantee where model_id = 's1'").pl().to_dicts()
    for name, values in (("risk", risk), ("masked", masked)):
        assert row[f"{name}_ratio"] == pytest.approx(values.mean(), abs=1e-9)
        ends = row[f"{name}_low_ratio"], row[f"{name}_high_ratio"]
        expected = np.clip(find_ends(values), 0, 1)
        assert ends == pytest.approx(tuple(expected), abs=1e-6)


def test_every_question_is_answered_by_every_study():
    counts = count_masks(studies=4, sizes=(15,))
    assert {count.name for count in counts} == {question.name for question in QUESTIONS}
    assert {studies for count in counts for _, studies in count.builds} == {4}
