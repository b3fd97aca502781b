"""The twelve questions of docs/questions.md run as they stand, and say what the blocks say."""

import re

import numpy as np
import pytest

# Drawn signals are in no study of this folder: tests/warehouse/test_phantoms.py.
EMPTY = {11}


@pytest.fixture(scope="module")
def answers(repository, fidelity_study):
    """Give the rows of each question, by its number."""
    from upscale_audit.warehouse.connect import open_warehouse

    text = (repository / "docs" / "questions.md").read_text(encoding="utf-8")
    queries = re.findall(r"^## (\d+)\..*?```sql\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    with open_warehouse(fidelity_study.warehouse) as connection:
        return {int(number): connection.sql(query).pl().to_dicts() for number, query in queries}


def test_there_are_twelve_and_all_but_one_have_an_answer_here(answers):
    assert sorted(answers) == [*range(1, 13)]
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


def test_what_is_invented_inside_boxes_is_what_their_blocks_hold(answers, facts, fidelity_boxes):
    boxed = {}
    for image_id, _, left, top, width, height in fidelity_boxes:
        boxed.setdefault(image_id, []).append((left, top, left + width, top + height))
    sums = {}
    for fact in facts:
        value = fact["invented_dn2_notta"]
        if fact["image_id"] in boxed and value is not None:
            x, y = 8 * fact["block_col"] + 4, 8 * fact["block_row"] + 4
            inside = any(
                left <= x < right and top <= y < bottom
                for left, top, right, bottom in boxed[fact["image_id"]]
            )
            sums.setdefault((fact["model_id"], inside), []).append(float(value))
    found = {(row["model_id"], row["is_inside"]): row for row in answers[7]}
    assert found.keys() == sums.keys()
    for key, values in sums.items():
        assert found[key]["block_count"] == len(values)
        assert found[key]["invented_dn2"] == pytest.approx(np.mean(values))


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


def test_deciles_of_texture_hold_all_blocks_alike(answers):
    for model_id in {row["model_id"] for row in answers[9]}:
        own = [row for row in answers[9] if row["model_id"] == model_id]
        assert [row["decile"] for row in own] == [*range(1, 11)]


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
