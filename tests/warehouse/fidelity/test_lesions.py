"""Lesion risk from the blocks; a scene whose lesion is known. Tests: ../test_lesion_tests.py."""

from collections import defaultdict

import numpy as np
import pytest

FINDINGS = ("Mass", "Nodule", "Infiltration")
COMPONENTS = ("sharp", "texture", "hf", "noise", "block", "block16", "block4", "ring", "mu")
QUANTITIES = ("local_ssim", "abs_pc1", "extreme", "mse_dn2", *(f"d_{c}" for c in COMPONENTS))
PATHS = ("notta", "tta")


def measure(fact, quantity, path, tau):
    """A block's value of a quantity, float, or None."""
    if quantity in ("abs_pc1", "extreme"):
        score = fact[f"pc1_{path}"]
        if score is None:
            return None
        return float(abs(score) > tau) if quantity == "extreme" else float(abs(score))
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
        names = ("inside_mean", "outside_mean", "difference")
        found = [row[name] for name in names]
        if not clusters:
            assert found == [None] * 3
            continue
        inside, outside = np.array([find_means(group) for group in clusters.values()]).T
        expected = (inside.mean(), outside.mean(), (inside - outside).mean())
        assert found == pytest.approx(expected, abs=1e-11)


def find_means(group):
    """Means inside and outside of a patient's images."""
    return np.mean([(np.mean(inside), np.mean(outside)) for inside, outside in group], axis=0)


def test_the_excess_is_what_the_baseline_does_not_do_to_the_same_images(
    risks, images, find_cluster
):
    seen = 0
    for (model_id, path, quantity, finding), row in risks.items():
        found = defaultdict(list)
        for (*key, image_id), inside in images.items():
            outside = images.get((model_id, path, quantity, None, image_id))
            base = [
                images.get(("bicubic", "notta", quantity, region, image_id))
                for region in (finding, None)
            ]
            if tuple(key) == (model_id, path, quantity, finding) and outside and all(base):
                own = np.mean(inside) - np.mean(outside)
                found[find_cluster(image_id)].append(own - np.mean(base[0]) + np.mean(base[1]))
        if model_id == "bicubic" or not found:
            assert (row["excess_cluster_count"], row["excess"]) == (0, None)
            continue
        seen += 1
        expected = np.mean([np.mean(values) for values in found.values()])
        assert row["excess_cluster_count"] == len(found)
        assert row["excess"] == pytest.approx(expected, abs=1e-11)
    assert seen > 100


def test_fewer_than_15_patients_have_a_mean_and_no_test(risks):
    tested = ("difference_low", "t", "p_value", "p_holm", "p_holm_all", "excess_low", "excess_t")
    for row in risks.values():
        assert row["cluster_count"] < 15
        assert [row[name] for name in tested] == [None] * 7
    assert sum(row["difference"] is not None for row in risks.values()) > 100


def test_a_restorer_that_breaks_one_finding_differs_there_and_nowhere_else(risks):
    signs = {"local_ssim": -1, "abs_pc1": 1, "mse_dn2": 1, "extreme": 1}
    for quantity, sign in signs.items():
        mass, nodule, noise = (
            risks[model_id, "notta", quantity, finding]
            for model_id, finding in (
                ("lesioned", "Mass"),
                ("lesioned", "Nodule"),
                ("noisy", "Mass"),
            )
        )
        for name in ("difference", "excess"):
            assert sign * mass[name] > 4 * max(abs(nodule[name]), abs(noise[name]))
    assert risks["lesioned", "notta", "extreme", "Mass"]["inside_mean"] > 0.5
