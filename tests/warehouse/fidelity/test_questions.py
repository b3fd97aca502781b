"""The twelve questions of docs/questions.md run as they stand, and say what the blocks say."""

import re
from collections import defaultdict

import numpy as np
import pytest
from scipy import ndimage

# Drawn signals are in no study of this folder: tests/warehouse/test_phantoms.py.
EMPTY = {11}


@pytest.fixture(scope="module")
def answers(repository, fidelity_study):
    """Give the rows of each question, by its number."""
    from upscale_audit.warehouse.connect import open_warehouse

    text = (repository / "docs" / "questions.md").read_text(encoding="utf-8")
    found = {}
    with open_warehouse(fidelity_study.warehouse) as connection:
        for part in text.split("\n## ")[1:]:
            queries = re.findall(r"```sql\n(.*?)```", part, re.DOTALL)
            number = int(part.split(".")[0])
            for query, key in zip(queries, (number, f"{number}b"), strict=False):
                found[key] = connection.sql(query).pl().to_dicts()
            assert 1 <= len(queries) <= 2
    return found


def test_there_are_twelve_and_all_but_one_have_an_answer_here(answers):
    assert [key for key in answers if isinstance(key, int)] == [*range(1, 13)]
    assert {number for number, rows in answers.items() if not rows} == EMPTY


def test_the_worst_blocks_are_the_worst_and_lie_where_they_are_said_to(answers, facts):
    errors = sorted(
        (float(fact["mse_dn2_notta"]) for fact in facts if fact["mse_dn2_notta"] is not None),
        reverse=True,
    )
    assert [float(row["mse_dn2_notta"]) for row in answers[2]] == errors[:20]
    places = {
        (fact["model_id"], fact["image_id"], 8 * fact["block_col"], 8 * fact["block_row"]): fact
        for fact in facts
    }
    for row in answers[2]:
        fact = places[row["model_id"], row["image_id"], row["left_px"], row["top_px"]]
        assert fact["mse_dn2_notta"] == row["mse_dn2_notta"]
        assert (row["width_px"], row["height_px"]) == (8, 8)


def find_regions(references):
    """Background or body of each whole block, from pixels: no mask is named here."""
    found = {}
    for name, reference in references.items():
        rows, cols = (side // 8 for side in reference.shape)
        blocks = reference[: 8 * rows, : 8 * cols].reshape(rows, 8, cols, 8)
        dark = (blocks.mean((1, 3)) <= 32) & (blocks.var((1, 3)) <= 25)
        labels, _ = ndimage.label(dark)
        frame = np.ones_like(dark)
        frame[2:-2, 2:-2] = False
        background = np.isin(labels, np.unique(labels[frame & dark]))
        for row, col in np.ndindex(rows, cols):
            found[name, row, col] = "background" if background[row, col] else "body"
    return found


@pytest.fixture(scope="module")
def regions(fidelity_references):
    return find_regions(fidelity_references)


def measure_regions(facts, regions, find_cluster, value_of):
    """Means over patients of images' means, by model and region; and how many blocks there are."""
    images = defaultdict(lambda: defaultdict(list))
    for fact in facts:
        value = value_of(fact)
        if value is not None:
            region = regions[fact["image_id"], fact["block_row"], fact["block_col"]]
            images[fact["model_id"], region][fact["image_id"]].append(float(value))
    found = {}
    for key, values in images.items():
        patients = defaultdict(list)
        for image_id, own in values.items():
            patients[find_cluster(image_id)].append(np.mean(own))
        mean = np.mean([np.mean(own) for own in patients.values()])
        found[key] = mean, sum(map(len, values.values()))
    return found


def test_what_is_invented_in_a_region_is_what_its_blocks_hold(
    answers, facts, regions, find_cluster
):
    expected = measure_regions(facts, regions, find_cluster, lambda f: f["invented_dn2_notta"])
    found = {(row["model_id"], row["region"]): row for row in answers[7]}
    assert found.keys() == expected.keys()
    assert {region for _, region in found} == {"background", "body"}
    for key, (mean, _) in expected.items():
        assert found[key]["invented_dn2"] == pytest.approx(mean)


def test_shares_beyond_the_limits_are_told_by_region(answers, facts, regions, find_cluster):
    def is_erroneous(fact):
        return None if fact["mse_dn2_notta"] is None else fact["mse_dn2_notta"] > 25

    expected = measure_regions(facts, regions, find_cluster, is_erroneous)
    found = {
        (row["model_id"], row["region"]): row
        for row in answers["5b"]
        if row["quantity"] == "erroneous_ratio"
    }
    assert found.keys() == expected.keys()
    for key, (share, count) in expected.items():
        assert found[key]["share"] == pytest.approx(share)
        assert found[key]["block_count"] == count
    # No LR image is known here.
    assert {row["quantity"] for row in answers["5b"]} == {"erroneous_ratio", "extreme_ratio"}


def test_images_that_fail_are_counted_by_model(answers, facts):
    blocks = {}
    for fact in facts:
        if fact["mse_dn2_notta"] is not None:
            key = fact["image_id"], fact["model_id"]
            blocks.setdefault(key, []).append(float(fact["mse_dn2_notta"]) > 25)
    for row in answers[8]:
        own = [np.mean(values) for (image, _), values in blocks.items() if image == row["image_id"]]
        assert row["model_count"] == len(own)
        assert row["failed_model_count"] == sum(share > 0.05 for share in own)


def test_tenths_of_texture_are_of_each_image_and_rise(answers):
    found = defaultdict(list)
    for row in answers[9]:
        found[row["model_id"], row["quantity"]].append(row)
    assert len(found) == 5 * 3
    for own in found.values():
        assert [row["decile"] for row in own] == [*range(1, 11)]
        limits = [row["variance_up_to_dn2"] for row in own[:-1]]
        assert limits == sorted(limits)
        assert own[-1]["variance_up_to_dn2"] is None
        assert (own[0]["difference"], own[1]["difference"] is None) == (None, False)


def test_the_cookbook_tells_regions_and_texture(repository, fidelity_study, answers):
    from upscale_audit.warehouse.connect import open_warehouse

    folder, found = repository / "analysis" / "cookbook", {}
    with open_warehouse(fidelity_study.warehouse) as connection:
        for name in ("what_happens_in_each_region", "does_harm_follow_texture"):
            rows = connection.sql((folder / f"{name}.sql").read_text()).pl().to_dicts()
            found[name] = [row for row in rows if row["quantity"] == "invented_dn2"]
    regions = [
        (r["model_id"], r["region"], r["mean"]) for r in found["what_happens_in_each_region"]
    ]
    asked = [(row["model_id"], row["region"], row["invented_dn2"]) for row in answers[7]]
    assert sorted(regions) == sorted(asked)
    for row in found["does_harm_follow_texture"]:
        own = [r for r in answers[9] if r["model_id"] == row["model_id"]]
        own = [r["dn2"] for r in own if r["quantity"] == "invented_dn2"]
        assert (row["mean_first"], row["mean_fifth"], row["mean_last"]) == (own[0], own[4], own[9])


def test_findings_are_listed_one_by_one_as_the_labels_have_them(read_mart):
    expected = {
        (row["image_id"], finding)
        for row in read_mart("dim_images")
        for finding in (row["finding_labels"] or "").split("|")
        if finding
    }
    assert {(row["image_id"], row["finding"]) for row in read_mart("dim_findings")} == expected
    assert expected


def test_a_number_comes_from_source_files(answers):
    kinds = {row["parent_kind"] for row in answers[12]}
    assert "source_file" in kinds
