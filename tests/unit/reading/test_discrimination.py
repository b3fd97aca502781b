import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from upscale_audit.reading.discrimination import measure_discrimination


def compare_naively(labels, scores):
    """DeLong 1988, equation by equation: every pair, and the components' sample variances."""
    ones = [score for label, score in zip(labels, scores, strict=True) if label]
    zeros = [score for label, score in zip(labels, scores, strict=True) if not label]

    def wins(one, zero):
        return 1.0 if one > zero else 0.5 if one == zero else 0.0

    v10 = [sum(wins(one, zero) for zero in zeros) / len(zeros) for one in ones]
    v01 = [sum(wins(one, zero) for one in ones) / len(ones) for zero in zeros]
    auc = sum(v10) / len(ones)
    s10 = sum((value - auc) ** 2 for value in v10) / (len(ones) - 1)
    s01 = sum((value - auc) ** 2 for value in v01) / (len(zeros) - 1)
    return auc, s10 / len(ones) + s01 / len(zeros), v10, v01


@pytest.fixture(params=range(4))
def reading(request):
    """Give labels and scores of 60 images, with ties."""
    generator = np.random.default_rng(request.param)
    labels = generator.random(60) < 0.3
    scores = np.round(generator.normal(labels * 0.8, 1), 1)
    return labels, scores


def find_variance(found):
    return ((found.high - found.low) / (2 * 1.959963984540054)) ** 2


def test_one_image_a_patient_is_delongs_interval(reading):
    labels, scores = reading
    found = measure_discrimination(labels, scores, [str(number) for number in range(60)])
    auc, variance, _, _ = compare_naively(labels, scores)
    assert found.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found.auc == pytest.approx(auc, abs=1e-12)
    half = 1.959963984540054 * math.sqrt(variance)
    assert found.low == pytest.approx(max(0, auc - half), abs=1e-12)
    assert found.high == pytest.approx(min(1, auc + half), abs=1e-12)
    assert (found.positives, found.negatives) == (labels.sum(), 60 - labels.sum())


def test_several_images_a_patient_are_obuchowskis_sums(reading):
    labels, scores = reading
    patients = [f"p{number // 3}" for number in range(60)]
    found = measure_discrimination(labels, scores, patients)
    auc, _, v10, v01 = compare_naively(labels, scores)
    v10, v01 = iter(v10), iter(v01)
    sums = {patient: [0.0, 0.0, 0, 0] for patient in patients}
    for label, patient in zip(labels, patients, strict=True):
        sums[patient][0 if label else 1] += (next(v10) if label else next(v01)) - auc
        sums[patient][2 if label else 3] += 1
    m, n, count = labels.sum(), (~labels).sum(), len(sums)
    i10 = sum(item[2] > 0 for item in sums.values())
    i01 = sum(item[3] > 0 for item in sums.values())
    s10 = i10 / ((i10 - 1) * m) * sum(item[0] ** 2 for item in sums.values())
    s01 = i01 / ((i01 - 1) * n) * sum(item[1] ** 2 for item in sums.values())
    s11 = count / (count - 1) * sum(item[0] * item[1] for item in sums.values())
    assert find_variance(found) == pytest.approx(s10 / m + s01 / n + 2 * s11 / (m * n), rel=1e-9)


def test_an_image_listed_twice_under_its_patient_tells_nothing_new(reading):
    labels, scores = reading
    patients = [str(number) for number in range(60)]
    once = measure_discrimination(labels, scores, patients)
    twice = measure_discrimination(np.tile(labels, 2), np.tile(scores, 2), patients * 2)
    assert (twice.auc, twice.low, twice.high) == pytest.approx((once.auc, once.low, once.high))


def test_scores_that_know_nothing_are_at_a_half_within_their_interval_19_times_of_20():
    generator = np.random.default_rng(8)
    held, count = 0, 400
    for _ in range(count):
        # A patient's images are alike: three of one label, around one level.
        labels = np.repeat(generator.random(40) < 0.4, 3)
        scores = np.repeat(generator.normal(size=40), 3) + generator.normal(0, 0.3, 120)
        found = measure_discrimination(labels, scores, [number // 3 for number in range(120)])
        held += found.low <= 0.5 <= found.high
    assert 0.9 < held / count < 0.98


def test_scores_that_tell_all_apart_have_no_interval():
    found = measure_discrimination([False, False, True, True], [0.1, 0.2, 0.3, 0.4], list("abcd"))
    assert (found.auc, found.low, found.high) == (1.0, None, None)


def test_without_an_image_of_a_kind_there_is_no_area():
    found = measure_discrimination([True, True], [0.1, 0.2], list("ab"))
    assert (found.auc, found.low, found.high) == (None, None, None)
    assert (found.positives, found.negatives) == (2, 0)


def test_a_single_patient_with_all_positives_gives_no_interval():
    found = measure_discrimination([True, True, False, False], [3, 1, 2, 0], list("aabc"))
    assert found.auc == 0.75
    assert found.low is None


@pytest.mark.parametrize("scores", [[0.1, math.nan], [0.1]])
def test_a_score_that_is_none_is_refused(scores):
    with pytest.raises(ValueError, match="one finite score"):
        measure_discrimination([True, False], scores, ["a", "b"])
