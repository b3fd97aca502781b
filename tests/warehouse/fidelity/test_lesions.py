"""Lesion risk from the blocks, with scipy's paired test; a scene whose lesion is known."""

from collections import defaultdict

import numpy as np
import pytest
from scipy import stats

FINDINGS = ("Mass", "Nodule", "Infiltration")
COMPONENTS = ("sharp", "texture", "hf", "noise", "block", "block16", "block4", "ring", "mu")
QUANTITIES = ("local_ssim", "abs_pc1", "collapsed", "mse_dn2", *(f"d_{c}" for c in COMPONENTS))
PATHS = ("notta", "tta")


def correct(p_values):
    """Holm's step-down correction of a dict of p values, in its own words."""
    ordered, corrected, largest = sorted(p_values, key=p_values.get), {}, 0.0
    for tested, name in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - tested) * p_values[name]))
        corrected[name] = largest
    return corrected


def measure(fact, quantity, path, tau):
    """A block's value of a quantity, float, or None."""
    if quantity in ("abs_pc1", "collapsed"):
        score = fact[f"pc1_{path}"]
        if score is None:
            return None
        return float(abs(score) > tau) if quantity == "collapsed" else float(abs(score))
    value = fact[f"{quantity}_{path}"]
    return None if value is None else float(value)


@pytest.fixture(scope="module")
def boxes(fidelity_boxes):
    """Give (left, top, right, bottom) in px by image and finding, as the entry list names it."""
    found = defaultdict(list)
    for image_id, finding, left, top, width, height in fidelity_boxes:
        name = "Infiltration" if finding == "Infiltrate" else finding
        found[image_id, name].append((left, top, left + width, top + height))
    return found


def find_regions(fact, boxes):
    """Findings whose boxes hold the block's centre; None where the image has no box."""
    x, y = 8 * fact["block_col"] + 4, 8 * fact["block_row"] + 4
    own = {
        finding: places for (image, finding), places in boxes.items() if image == fact["image_id"]
    }
    if not own:
        return None
    return {
        finding
        for finding, places in own.items()
        if any(left <= x < right and top <= y < bottom for left, top, right, bottom in places)
    }


@pytest.fixture(scope="module")
def images(facts, boxes, read_mart):
    """Give the values of each model, path, quantity, region and image; outside is None."""
    tau = read_mart("select tau from mart_limits")[0]["tau"]
    found = defaultdict(list)
    for fact in facts:
        regions = find_regions(fact, boxes)
        if regions is None:
            continue
        labels = [*regions, "any"] if regions else [None]
        for path in PATHS:
            for quantity in QUANTITIES:
                value = measure(fact, quantity, path, tau)
                if value is not None:
                    for label in labels:
                        key = (fact["model_id"], path, quantity, label)
                        found[(*key, fact["image_id"])].append(value)
    return found


@pytest.fixture(scope="module")
def patients(images, find_cluster):
    """Give (inside, outside) of each image, by model, path, quantity, finding and cluster."""
    found = defaultdict(lambda: defaultdict(list))
    for (model_id, path, quantity, label, image_id), inside in images.items():
        outside = images.get((model_id, path, quantity, None, image_id))
        if label is not None and outside:
            cluster = found[model_id, path, quantity, label]
            cluster[find_cluster(image_id)].append((inside, outside))
    return found


@pytest.fixture(scope="module")
def risks(read_mart):
    return {
        (row["model_id"], row["inference_path"], row["quantity"], row["finding"]): row
        for row in read_mart("mart_lesion_risk")
    }


def test_every_model_path_finding_and_quantity_has_its_row(risks):
    assert len(risks) == 5 * 2 * 4 * len(QUANTITIES)
    assert {finding for *_, finding in risks} == {*FINDINGS, "any"}
    assert {quantity for _, _, quantity, _ in risks} == set(QUANTITIES)


def test_a_finding_is_compared_with_the_rest_of_its_images_patient_by_patient(risks, patients):
    for key, row in risks.items():
        clusters = patients.get(key, {})
        pairs = [pair for group in clusters.values() for pair in group]
        assert row["cluster_count"] == len(clusters)
        assert row["image_count"] == len(pairs)
        assert row["inside_block_count"] == sum(len(inside) for inside, _ in pairs)
        assert row["outside_block_count"] == sum(len(outside) for _, outside in pairs)
        assert row["cluster_unit"] == ("patient" if clusters else None)
        names = ("inside_mean", "outside_mean", "difference", "difference_low", "difference_high")
        found = [row[name] for name in (*names, "t", "p_value")]
        if not clusters:
            assert found == [None] * 7
            continue
        means = np.array(
            [
                np.mean([(np.mean(inside), np.mean(outside)) for inside, outside in group], axis=0)
                for group in clusters.values()
            ]
        )
        inside, outside = means.T
        expected = (inside.mean(), outside.mean(), (inside - outside).mean())
        assert found[:3] == pytest.approx(expected, abs=1e-11)
        is_untold = key[2] == "collapsed" and expected[0] == 0
        if len(clusters) < 5 or is_untold:
            assert found[3:] == [None] * 4
            continue
        if np.ptp(inside - outside) == 0:
            assert found[3:] == [found[2], found[2], None, None]
            continue
        test = stats.ttest_rel(inside, outside)
        interval = test.confidence_interval(0.95)
        assert found[3:5] == pytest.approx((interval.low, interval.high), rel=1e-8, abs=1e-11)
        assert found[5:] == pytest.approx((test.statistic, test.pvalue), rel=1e-7)


def test_p_is_corrected_for_the_findings_of_a_model_path_and_quantity(risks):
    families = defaultdict(dict)
    for (*family, finding), row in risks.items():
        if finding != "any" and row["p_value"] is not None:
            families[tuple(family)][finding] = row["p_value"]
    assert {len(family) for family in families.values()} == {1, 2}
    for (*family, finding), row in risks.items():
        p_values = families.get(tuple(family), {})
        if finding in p_values:
            expected = (pytest.approx(correct(p_values)[finding], rel=1e-12), len(p_values))
            assert (row["p_holm"], row["family_size"]) == expected
        else:
            assert (row["p_holm"], row["family_size"]) == (None, None)


def test_holms_correction_of_a_worked_case():
    assert correct({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06}
    )


def test_fewer_than_five_patients_have_a_mean_and_no_test(risks):
    row = risks["noisy", "notta", "local_ssim", "Infiltration"]
    assert row["cluster_count"] == 3
    assert row["difference"] is not None
    tested = ("difference_low", "difference_high", "t", "p_value", "p_holm", "family_size")
    assert [row[name] for name in tested] == [None] * 6


def assert_no_risk(row):
    if row["quantity"] == "collapsed" and row["inside_mean"] == 0:
        assert row["p_value"] is None
    else:
        assert row["difference_low"] < 0 < row["difference_high"]
        assert row["p_value"] > 0.05


@pytest.mark.parametrize("path", PATHS)
def test_white_noise_is_no_lesion_risk(risks, path):
    for quantity in ("local_ssim", "abs_pc1", "mse_dn2", "collapsed"):
        for finding in ("Mass", "Nodule", "any"):
            assert_no_risk(risks["noisy", path, quantity, finding])


def test_a_restorer_that_breaks_one_finding_is_a_risk_there_and_nowhere_else(risks):
    signs = {"local_ssim": -1, "abs_pc1": 1, "mse_dn2": 1, "collapsed": 1}
    for quantity, sign in signs.items():
        broken = risks["lesioned", "notta", quantity, "Mass"]
        assert broken["p_holm"] < 0.001
        assert sign * broken["difference_low"] > 0
        assert sign * broken["difference_high"] > 0
        assert_no_risk(risks["lesioned", "notta", quantity, "Nodule"])
    assert risks["lesioned", "notta", "collapsed", "Mass"]["inside_mean"] > 0.5
