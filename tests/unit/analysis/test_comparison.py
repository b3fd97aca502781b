"""The forest figure of paired comparisons draws the mart's numbers, turned to the baseline."""

import itertools
import json

import duckdb
import pytest

from tests.unit.analysis.conftest import Case, make_warehouse
from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.comparison import (
    QUANTITIES,
    draw_model_pairs,
    find_baseline,
)
from upscale_audit.analysis.figures.study import plan_figures
from upscale_audit.analysis.marts import Marts

THREE = {"models": ("one", "three", "two"), "clusters": 20}


@pytest.fixture
def draw(tmp_path):
    """Give a function that draws the figure of a hand-made study: rows, caption and names."""
    number = itertools.count()

    def run(baseline=None, **options):
        path, references = make_warehouse(tmp_path / str(next(number)), Case(**options))
        with Marts(path) as marts:
            chart = draw_model_pairs(marts, baseline or find_baseline(marts)).to_dict()
            rows = [row for rows in chart["datasets"].values() for row in rows]
            text = " ".join(chart["title"]["subtitle"]).replace("\u00a0", " ")
            return rows, text, list(plan_figures(marts, references))

    return run


def test_a_pair_is_drawn_as_the_model_less_the_baseline_whichever_is_first_by_name(draw):
    rows, _, _ = draw(**THREE)
    (first,) = [
        row
        for row in rows
        if (row["model_id"], row["quantity"], row["inference_path"]) == ("two", "mse_dn2", "notta")
    ]
    # The mart has one less two: 0.1, from 0.08 to 0.13.
    assert [first[name] for name in ("low", "mean", "high")] == pytest.approx([-0.13, -0.1, -0.08])
    rows, _, _ = draw(baseline="two", **THREE)
    ends = {
        row["model_id"]: [row[name] for name in ("low", "mean", "high")]
        for row in rows
        if (row["quantity"], row["inference_path"]) == ("mse_dn2", "notta")
    }
    assert ends == {
        "one": pytest.approx([0.08, 0.1, 0.13]),
        "three": pytest.approx([0.13, 0.15, 0.18]),
    }


def test_filled_is_what_the_corrected_p_says_and_tta_is_compared_with_tta_alone(draw):
    rows, text, _ = draw(**THREE, without_tta=("three",))
    evidence = {(row["model_id"], row["inference_path"]): row["evidence"] for row in rows}
    assert evidence == {
        ("three", "notta"): "corrected p < 0.05",
        ("two", "notta"): "corrected p \u2265 0.05",
        ("two", "tta"): "corrected p \u2265 0.05",
    }
    assert "Holm's correction for the 3 pairs" in text
    assert "n = 20 images per point" in text


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (
            [(16, 0.1), (3, None)],
            "Points without a bar have no interval: 3 clusters (patients) are",
        ),
        ([(16, 0.1), (16, None)], "Points without a bar have none, for all values are equal or"),
        ([(16, 0.1), (3, None), (16, None)], "are too few. Others have none, for all values are"),
    ],
)
def test_as_many_clusters_as_others_have_an_interval_with_are_not_too_few(counts, expected):
    rows = [{"cluster_unit": "patient", "cluster_count": n, "low": low} for n, low in counts]
    said = theme.describe_intervals(rows, "low", "a paired t")
    assert expected in said
    assert "16 clusters (patients) are too few" not in said


def test_few_patients_have_no_interval_and_the_caption_no_p(draw):
    rows, text, _ = draw(models=("one", "two"), clusters=14)
    assert {row["evidence"] for row in rows} == {"no test"}
    assert {row["low"] for row in rows} == {None}
    assert "No intervals: 14 clusters (images) are too few." in text
    assert "Holm" not in text


def test_a_quantity_that_is_not_in_the_figure_stays_in_the_mart(draw):
    rows, _, _ = draw(**THREE)
    assert "ssim" not in QUANTITIES
    assert {row["quantity"] for row in rows} < set(QUANTITIES)


def test_what_the_lr_image_says_has_panels_where_there_is_one(draw):
    held = {"lr_contradicted_ratio", "lr_bent_dn2"}
    assert held <= {row["quantity"] for row in draw(**THREE, has_lr=True)[0]}
    assert not held & {row["quantity"] for row in draw(**THREE)[0]}


def test_a_study_without_the_baseline_says_so_and_one_model_has_no_figure(draw, tmp_path):
    path, references = make_warehouse(tmp_path / "none", Case(has_baseline=False))
    with Marts(path) as marts:
        chart = plan_figures(marts, references)["model_pairs"](marts).to_dict()
    assert "No model of this study is the baseline" in json.dumps(chart["datasets"])
    path, references = make_warehouse(tmp_path / "solo", Case(models=("solo",), without_tta=()))
    with Marts(path) as marts:
        assert "model_pairs" not in plan_figures(marts, references)


@pytest.mark.long
def test_a_part_without_the_baseline_is_compared_with_it_all_the_same(tmp_path):
    names = tuple(f"network_{number:02d}" for number in range(20))
    case = Case(models=names, source_models=names, without_tta=(), clusters=20)
    path, references = make_warehouse(tmp_path / "many", case)
    with Marts(path) as marts:
        chart = plan_figures(marts, references)["model_pairs_2of2"](marts).to_dict()
    drawn = {row["model_id"] for rows in chart["datasets"].values() for row in rows}
    assert drawn == set(names[10:])
    assert names[0] in " ".join(chart["title"]["subtitle"])


def test_the_level_of_tests_is_read_from_the_warehouse(tmp_path):
    path, _ = make_warehouse(tmp_path / "study", Case(**THREE))
    evidence = []
    for level in (0.05, 1e-9):
        with duckdb.connect(str(path)) as connection:
            connection.execute(
                f"update dim_constants set value = {level} where constant = 'significance'"
            )
        with Marts(path) as marts:
            chart = draw_model_pairs(marts, "one").to_dict()
        assert f"Filled: p < {level} after Holm" in " ".join(chart["title"]["subtitle"])
        rows = [row for rows in chart["datasets"].values() for row in rows]
        evidence.append({row["evidence"] for row in rows} - {"no test"})
    assert "corrected p < 0.05" in evidence[0]
    assert evidence[1] == {"corrected p \u2265 1e-09"}
