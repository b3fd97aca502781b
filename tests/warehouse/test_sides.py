"""Simulated sides of the axis: they mean what the page states, and the marts' SQL reads them."""

import duckdb
import numpy as np
import polars as pl
import pytest

from tests.calibration.rendered import SHAPES, Answers
from tests.calibration.shares import COVERAGE_PCT
from tests.calibration.sides import (
    CHOICE_COLUMNS,
    GROUP_SD,
    GROUP_SHARES,
    GROUPS,
    IMAGE_SD,
    PATIENT_SD,
    QUESTIONS,
    SCALES,
    build_sides,
    count_sides,
    draw_codes,
    find_truths,
    format_sides,
    list_choices,
    simulate_groups,
)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_simulated_has_the_means_and_spreads_that_the_page_states(shape):
    _, means = draw_codes(1)
    groups = simulate_groups(20000, shape, 1, 0, means)
    for control, model_id in enumerate(("s0", "c0")):
        own = groups.filter(pl.col("model_id") == model_id, pl.col("count_mu") > 0)
        for number, (name, scale) in enumerate(SCALES.items()):
            for group in (0, GROUPS // 2):
                one = own.filter(pl.col("grouping") == group)
                mean = one[f"sum_{name}"].sum() / one[f"count_{name}"].sum() / scale
                assert mean == pytest.approx(means[control, number, group], abs=0.03), name
    shares = own["count_mu"].sum() / own["image"].n_unique()
    assert shares == pytest.approx(256, rel=1e-3)
    first = own.filter(pl.col("grouping") == GROUPS // 2, pl.col("count_mu") > 60)
    values = first["sum_mu"] / first["count_mu"] / SCALES["mu"]
    spread = np.sqrt(values.var() - (1 / first["count_mu"]).mean())
    assert spread == pytest.approx(np.sqrt(PATIENT_SD**2 + GROUP_SD**2 + IMAGE_SD**2), rel=0.03)


def test_every_choice_has_two_sides_and_the_first_one_neither():
    sides, _ = draw_codes(len(list_choices()))
    for side in (0, 2):
        assert ((sides == side) @ GROUP_SHARES >= 0.1).all()
    assert (sides[0] == 1).any()
    assert len({tuple(row) for row in sides.tolist()}) > len(sides) / 2


def test_truths_are_those_of_two_groups_reckoned_by_hand():
    sides = np.ones(GROUPS, int)
    sides[:3] = 2, 2, 0
    means = np.zeros((len(SCALES), GROUPS))
    index = {name: number for number, name in enumerate(SCALES)}
    means[index["sharp"], :3] = 1, 4, 2
    means[index["block"], :3] = 3, 0, 5
    means[index["texture"], 2] = 1
    means[index["ring"], :3] = 6, 6, 1
    truths = find_truths(sides, means)
    # Of 0.05 and 0.1 of the blocks the second counts twice.
    assert truths["positive_sharpness"] == pytest.approx(3)
    assert truths["negative_sharpness"] == 2
    assert truths["positive_artefact"] == pytest.approx((1 - 0) / 2)
    assert truths["negative_artefact"] == (5 - 1) / 2
    assert truths["contrast_artefact"] == pytest.approx(((6 - 1) + (1 - 5) - (0 - 1)) / 3)


def test_the_sql_bounds_what_was_simulated():
    choices = list_choices()
    sides, means = draw_codes(len(choices))
    groups = simulate_groups(12, "normal", 2, 3, means)

    def measure(model_id, choice):
        """Estimates, by summing up groups one at a time."""
        own = groups.filter(pl.col("model_id") == model_id)
        sums = (
            own.drop("model_id")
            .group_by("grouping")
            .sum()
            .sort("grouping")
            .to_dict(as_series=False)
        )
        found = np.array(
            [
                np.array(sums[f"sum_{name}"]) / sums[f"count_{name}"] / scale
                for name, scale in SCALES.items()
            ]
        )
        counts = {name: np.array(sums[f"count_{name}"]) for name in SCALES}
        values = {}
        for side, digit in (("positive", 2), ("negative", 0)):
            at = sides[choice] == digit
            values |= {
                (name, side): np.average(found[number][at], weights=counts[name][at])
                for number, name in enumerate(SCALES)
            }
        contrast = {n: values[n, "positive"] - values[n, "negative"] for n in SCALES}
        return {
            "positive_sharpness": values["sharp", "positive"],
            "negative_artefact": (values["block", "negative"] - values["texture", "negative"]) / 2,
            "sharpness": contrast["sharp"],
            "artefact": (contrast["ring"] + contrast["block"] - contrast["texture"]) / 3,
        }

    with duckdb.connect() as connection:
        build_sides(connection, groups, 3, sides)
        row = connection.sql("from mart_axis1_types where model_id = 's1'").pl().to_dicts()[0]
        own, control = measure("s1", 0), measure("c1", 0)
        assert row["control_model_id"] == "c1"
        for name, estimate in {
            "positive_sharpness": own["positive_sharpness"],
            "negative_artefact": own["negative_artefact"],
            "excess_sharpness": own["sharpness"] - control["sharpness"],
            "excess_artefact": own["artefact"] - control["artefact"],
        }.items():
            assert row[name] == pytest.approx(estimate, rel=1e-5), name
            assert row[f"{name}_low"] < estimate < row[f"{name}_high"], name
        for name in ("sharpness", "artefact"):
            assert row[f"{name}_low"] < own[name] < row[f"{name}_high"]
        for number in (0, 7, len(choices) - 1):
            choice = choices[number]
            turned, *found = connection.sql(
                "select is_turned, contrast_artefact, contrast_artefact_low,"
                " contrast_artefact_high from mart_axis1_multiverse where model_id = 's1'"
                f" and feature_space = '{choice['space']}' and is_scaled = {choice['is_scaled']}"
                f" and basis = '{choice['basis']}' and origin = '{choice['origin']}'"
                " and axis_sign = 'returned'"
            ).fetchall()[0]
            estimate = measure("s1", number)["artefact"] * (-1 if turned else 1)
            assert found[0] == pytest.approx(estimate, rel=1e-5)
            assert found[1] < estimate < found[2]


def test_every_question_is_answered_by_every_study_and_choices_are_folded():
    counts = count_sides(builds=2, studies=3, sizes=(12,))
    names = {count.name for count in counts}
    assert len(names) == len(QUESTIONS) + 2 * len(CHOICE_COLUMNS)
    assert {studies for count in counts for _, studies in count.builds} == {3}
    for column in ("contrast of artefact", "sharpness of the positive side"):
        for shape in SHAPES:
            every, worst = (
                count.builds
                for count in counts
                if count.name.startswith(column) and count.shape == shape
            )
            # Found in the first build, counted in the second.
            assert (len(every), len(worst)) == (2, 1)
            assert all(0 <= hits <= 3 for hits, _ in every + worst)


def test_the_page_gives_each_share_with_its_own_interval():
    counts = [
        Answers(question.name, patients, shape, ((94, 100), (94, 100)), COVERAGE_PCT)
        for question in QUESTIONS
        for patients in (5, 15)
        for shape in SHAPES
    ]
    text = format_sides(counts)
    assert text.count("94.0 (89.8 to 96.5)") == len(counts)
    assert text.startswith("## Two sides of the axis")
    assert "200 studies of each size,\n100 to a draw" in text
